import { describe, expect, it } from "vitest";
import { type Method, methods } from "../../src/methods/methods.ts";
import { distribution } from "../../src/evaluators/conflict.ts";
import type { Conflict } from "../../src/run/conflict.ts";
import type { Evaluation } from "../../src/run/evaluation.ts";
import { type Cell, type Outcome, readyCells, type StudyOptions } from "../../src/study/design.ts";
import { fineTuningIn, outcomesOf, resultsOf, type StudyResults } from "../../src/study/results.ts";
import { fewLabelsChart, methodsChart, standalone } from "../../src/study/figures.ts";
import { csvTable, markdownTable } from "../../src/study/table.ts";
import { tiny } from "./tiny.ts";

const study: StudyOptions = { ...tiny, methods: Object.keys(methods) as Method[], seeds: 3, search: [1, 2] };

const labels = [
  ["knn", "k-NN, 4 classes"],
  ["linear", "linear probe, 4 classes"],
  ["few-shot", "1 label per class, 4 classes", 1],
  ["few-shot", "10 % of labels, 4 classes", 2.5],
  ["fine-tune", "fine-tuning (small, 10 % of labels), 4 classes"],
] as const;
const fineTune = { preset: "small", labels: "10%", epochs: 2 } as const;

/** Five questions, the same score in all of them. */
function evaluation(name: string, score: number): Evaluation {
  const rows = labels.map(([protocol, label, few]) => ({
    protocol,
    label,
    ...(few === undefined ? {} : { labels: few }),
    metric: "accuracy",
    settings: protocol === "fine-tune" ? { seed: 0, ...fineTune } : {},
    values: { [name]: score },
    validation: { [name]: score },
  }));
  return { columns: [{ name, title: name }], rows };
}

/** A whole study in which a cell's score is what `scoreOf` says. */
function resultsWith(scoreOf: (cell: Cell) => number, options = study, evaluate = evaluation) {
  const evaluations = new Map<string, Evaluation>();
  const failures = new Map<string, string>();
  for (let cell; (cell = readyCells(options, outcomesOf({ evaluations, failures }))[0]) !== undefined;) {
    const score = scoreOf(cell);
    if (Number.isNaN(score)) failures.set(cell.id, "the loss is NaN");
    else evaluations.set(cell.id, evaluate("last", score));
  }
  return resultsOf(options, { evaluations, failures, baselines: evaluate("random", 0.1) });
}

const paper: Record<string, number> = {
  "mim-first": 0.3,
  "cl-first": 0.35,
  mim: 0.32,
  cl: 0.4,
  mtl: 0.38,
  "mim-to-cl": 0.45,
  "cl-to-mim": 0.3,
  "layer-grafted": 0.5,
  "auto-grafted": 0.6,
};
/** Seeds lift all methods alike; each has a little noise of its own; factor 2 is a bit better. */
const like =
  (table: Record<string, number>) =>
  ({ entry, seed, factor }: Cell) =>
    table[entry]! + 0.05 * seed + 0.001 * ((entry.length * (seed + 1)) % 3) + 0.01 * factor;

const verdictsOf = (scoreOf: (cell: Cell) => number) =>
  Object.fromEntries(resultsWith(scoreOf).statements.map(({ claim, verdict }) => [claim, verdict]));

describe("statements", () => {
  it("agree with a study like the paper's, though seeds differ more than methods", () => {
    expect(verdictsOf(like(paper))).toEqual({
      "MIM → CL is better than joint training": "agrees",
      "CL → MIM is the worst way to combine the two": "agrees",
      "layer-grafted is the best with few labels": "agrees",
    });
  });

  it("do not when methods change places", () => {
    expect(verdictsOf(like({ ...paper, mtl: 0.7, "cl-to-mim": 0.8 }))).toEqual({
      "MIM → CL is better than joint training": "does not agree",
      "CL → MIM is the worst way to combine the two": "does not agree",
      "layer-grafted is the best with few labels": "does not agree",
    });
  });

  it("are within noise when seeds disagree", () => {
    const noisy = (cell: Cell) => like(paper)(cell) + (cell.entry === "mim-to-cl" ? 0.2 * (cell.seed - 1) : 0);
    expect(verdictsOf(noisy)["MIM → CL is better than joint training"]).toBe("within noise");
  });

  it("say what was compared: the best rival by its mean", () => {
    const { statements } = resultsWith(like(paper));
    expect(statements.at(-1)).toMatchObject({
      compared: "few labels (mean): layer-grafted minus MIM → CL",
      comparison: { seeds: 3, difference: expect.closeTo(0.05, 1) as number },
    });
  });
});

describe("the table", () => {
  const results = resultsWith(like(paper));
  const row = (entry: string) => results.entries.find((each) => each.entry === entry)!;

  it("has mean and deviation over seeds with the chosen learning rate", () => {
    expect(row("cl")).toMatchObject({ learningRate: 0.02, search: [{ learningRate: 0.01 }, { learningRate: 0.02 }] });
    expect(row("cl").seeds.map(({ cell }) => cell)).toEqual(["cl-x2-s0", "cl-x2-s1", "cl-x2-s2"]);
    expect(row("cl").mean[0]).toBeCloseTo(0.47, 2);
    expect(row("cl").deviation[0]).toBeCloseTo(0.05, 2);
  });

  it("says what each row has spent", () => {
    expect(row("layer-grafted").spent).toBeCloseTo(1, 2);
    expect(row("mim-first").spent + row("cl-first").spent).toBeCloseTo(1, 2);
  });

  it("is written as Markdown with the best in bold, and as CSV with every seed", () => {
    const lines = markdownTable(results).trim().split("\n");
    expect(lines[0]).toBe("| accuracy, % | budget | k-NN | linear probe | 1 label per class | 10 % of labels |");
    expect(lines.filter((line) => line.includes("**"))).toEqual([
      expect.stringMatching(/^\| auto-grafted \| 100 % \| \*\*67/),
    ]);
    expect(lines).toContain("| random |  | 10.0 | 10.0 | 10.0 | 10.0 |");
    expect(csvTable(results).trim().split("\n")).toHaveLength(1 + 1 + 9 * 3);
  });
});

describe("another metric than accuracy", () => {
  // the score of `like`, turned round into an error in pixels, for few labels
  const error = (name: string, score: number) => {
    const asIs = evaluation(name, score);
    const rows = asIs.rows.map((row) =>
      row.protocol === "few-shot"
        ? { ...row, metric: "error, px", share: false, better: "lower" as const, values: { [name]: 100 * (1 - score) } }
        : row,
    );
    return { ...asIs, rows };
  };
  const results = resultsWith(like(paper), study, error);

  it("is named in the column's head, and its best is the lowest", () => {
    const [head, ...lines] = markdownTable(results).trim().split("\n");
    expect(head).toContain("| 1 label per class: error, px (lower is better) |");
    expect(lines).toContain("| random |  | 10.0 | 10.0 | 90 | 90 |");
    expect(lines.filter((line) => line.includes("**"))).toEqual([
      "| auto-grafted | 100 % | **67.0 ± 5.0** | **67.0 ± 5.0** | **33 ± 5** | **33 ± 5** |",
    ]);
    expect(csvTable(results).split("\n")[0]).toContain('"1 label per class, 4 classes: error, px"');
    expect(fewLabelsChart(results)!.text).toContain("error, px against the number of labels, by method");
  });

  it("turns what is compared round, not what is claimed", () => {
    const claims = (of: StudyResults) => of.statements.map(({ claim, verdict }) => [claim, verdict]);
    expect(claims(results)).toEqual(claims(resultsWith(like(paper))));
    expect(results.statements.at(-1)).toMatchObject({
      compared: "few labels (mean): MIM → CL minus layer-grafted",
      share: false,
      comparison: { difference: expect.closeTo(5, 0) as number },
    });
  });
});

describe("fine-tuning", () => {
  const options = { ...study, evaluation: { ...study.evaluation, fineTune } };
  const table = (results: StudyResults) => markdownTable(results).trim().split("\n");

  it("has a column where it is asked for, and says how joint training and the graft do in it", () => {
    const results = resultsWith(like(paper), options);
    expect(table(results)[0]).toMatch(/ 10 % of labels \| fine-tuning \|$/);
    expect(results.statements.map(({ claim, compared, verdict }) => [claim, compared, verdict]).slice(-3)).toEqual([
      ["joint training is below MIM alone in fine-tuning", "fine-tuning: MIM minus MTL", "does not agree"],
      ["layer-grafted is the best with few labels", "few labels (mean): layer-grafted minus MIM → CL", "agrees"],
      ["layer-grafted is the best in fine-tuning", "fine-tuning: layer-grafted minus MIM → CL", "agrees"],
    ]);
    expect(methodsChart(results)!.text).toContain(">fine-tuning<");
  });

  it("counts the seeds that have it, and only as it is asked for", () => {
    const tuned = evaluation("last", 0.5);
    const other = {
      ...tuned,
      rows: tuned.rows.map((row) => ({ ...row, settings: { ...row.settings, epochs: 3 } })),
    };
    expect(fineTuningIn(tuned, options)).toMatchObject({ protocol: "fine-tune" });
    expect([fineTuningIn(other, options), fineTuningIn(tuned, study)]).toEqual([undefined, undefined]);
    const mim = { ...options, methods: ["mim" as const], search: [1] };
    const results = resultsOf(mim, {
      evaluations: new Map([
        ["mim-x1-s0", tuned],
        ["mim-x1-s1", other],
      ]),
      failures: new Map(),
      baselines: evaluation("random", 0.1),
    });
    expect(results.entries[0]).toMatchObject({
      mean: [0.5, 0.5, 0.5, 0.5, 0.5],
      deviation: [0, 0, 0, 0, null],
      seeds: [{ scores: [0.5, 0.5, 0.5, 0.5, 0.5] }, { scores: [0.5, 0.5, 0.5, 0.5, null] }],
    });
    expect(table(results).at(-1)).toMatch(/ \*\*50.0 ± 0.0\*\* \| \*\*50.0\*\* \|$/);
    expect(csvTable(results).trim()).toMatch(/,0\.5,$/);
    expect(methodsChart(results)!.text).not.toContain("NaN");
  });
});

describe("the chart of few labels", () => {
  const results = resultsWith(like(paper));

  it("has a line per method and baseline, with the numbers of labels", () => {
    expect(results.questions.map(({ labels }) => labels)).toEqual([undefined, undefined, 1, 2.5]);
    const { text } = fewLabelsChart(results)!;
    const titles = [
      "random",
      ...results.entries.filter(({ entry }) => !entry.endsWith("-first")).map(({ title }) => title),
    ];
    for (const title of titles) expect(text.split(`>${title}<`)).toHaveLength(2);
    expect(text).toContain(">2.5<");
    expect(text).not.toMatch(/NaN|undefined/);
  });

  it("is left out with one number of labels, and stands alone as a file without the page's colours", () => {
    expect(fewLabelsChart({ ...results, questions: results.questions.slice(0, 3) })).toBeUndefined();
    expect(standalone(fewLabelsChart(results)!)).not.toContain("var(");
  });
});

describe("the conflict of joint training", () => {
  /** Two blocks, two batches; the mean cosine falls by `fall` from the first block to the second. */
  const conflictWith = (fall: number): Conflict => {
    const loss = { objective: "mae", partsOf: "mtl", warmUpSteps: 0, loss: 1 };
    const rows = [0, 1].map((block) => {
      const cosines = [0.2 - fall * block, 0.1 - fall * block];
      return { block, group: "block" as const, ...distribution(cosines), cosines, mimNorms: [1, 1], clNorms: [1, 1] };
    });
    const same = { rankCorrelation: -Math.sign(fall), slopePerBlock: -fall };
    return {
      encoder: { stage: "mtl", step: 1, checkpoint: "mtl" },
      mim: loss,
      cl: loss,
      batches: 2,
      batch: 8,
      seed: 0,
      rows,
      trends: { attention: same, mlp: same, norm: same, block: same },
    };
  };
  const judge = (...falls: number[]) => {
    const options = { ...tiny, methods: ["mtl" as const], seeds: falls.length };
    const cells = falls.map((fall, seed) => [`mtl-x1-s${seed}`, fall] as const);
    return resultsOf(options, {
      evaluations: new Map(cells.map(([cell]) => [cell, evaluation("last", 0.5)])),
      failures: new Map(),
      conflicts: new Map(cells.map(([cell, fall]) => [cell, conflictWith(fall)])),
    });
  };

  it.each([
    ["agrees", [0.3, 0.31, 0.29]],
    ["does not agree", [-0.3, -0.31, -0.29]],
    ["within noise", [0.3, -0.2, 0.1]],
  ] as const)("%s with falls of %j", (verdict, falls) => {
    const [statement, ...others] = judge(...falls).statements;
    expect(others).toEqual([]);
    expect(statement).toMatchObject({ claim: "the conflict grows with depth", verdict, comparison: { seeds: 3 } });
  });

  it("is pooled over seeds", () => {
    const { conflict } = judge(0.3, 0.1);
    expect(conflict.map(({ cosines }) => cosines.length)).toEqual([4, 4]);
    expect(conflict.map(({ negative }) => negative)).toEqual([0, 0.5]);
  });
});

it("what failed is told, and the rest is judged without it", () => {
  const scoreOf = like(paper);
  const { failed, entries, statements } = resultsWith((cell) =>
    cell.entry === "mtl" && cell.seed === 1 ? Number.NaN : scoreOf(cell),
  );
  expect(failed).toEqual([{ cell: "mtl-x2-s1", reason: "the loss is NaN" }]);
  expect(entries.find(({ entry }) => entry === "mtl")!.seeds.map(({ seed }) => seed)).toEqual([0, 2]);
  expect(statements[0]!.comparison.seeds).toBe(2);
});

it("an outcome is the k-NN accuracy on the validation split", () => {
  const evaluations = new Map([["a", evaluation("last", 0.25)]]);
  const outcomes = outcomesOf({ evaluations, failures: new Map([["b", "why"]]) });
  expect([...outcomes]).toEqual<[string, Outcome][]>([
    ["b", { failed: "why" }],
    ["a", { validation: 0.25 }],
  ]);
});
