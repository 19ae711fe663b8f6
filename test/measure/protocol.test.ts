import { beforeAll, expect, it } from "vitest";
import * as z from "zod";
import { formatEvaluation } from "../../src/cli/table.ts";
import { neighbours } from "../../src/evaluators/neighbours.ts";
import { evaluate } from "../../src/measure/evaluate.ts";
import { classTask, type Protocol } from "../../src/measure/protocol.ts";
import { protocolNames, protocols, type ProtocolSettings, usual } from "../../src/measure/protocols/index.ts";
import { splitsOf } from "../../src/measure/questions.ts";
import { tasksOf } from "../../src/measure/tasks.ts";
import { readEvaluation } from "../../src/run/evaluation.ts";
import { renderReport } from "../../src/report/report.ts";
import { tiny, trainHere } from "../train/tiny.ts";

const precisionSettings = z.strictObject({ depth: z.int().min(1).default(10) });
/** Of the training images most like a test image: precision at every hit, averaged. */
const precision: Protocol<"precision", typeof precisionSettings> = {
  name: "precision",
  usual: false,
  metric: { name: "mean average precision" },
  settings: precisionSettings,
  tasks: ({ questions }, settings, options) =>
    questions.map((question) => ({
      ...classTask("images of the same class", question, settings, options),
      needs: "features",
      async run({ features }) {
        const { train, test } = splitsOf(question, await features());
        const { indices, count } = await neighbours(test.features, train.features, settings.depth, options);
        const averages = Array.from(test.labels, (label, i) => {
          const hits = Array.from(indices.subarray(i * count, (i + 1) * count), (row) => train.labels[row] === label);
          const found = hits.flatMap((hit, at) =>
            hit ? [hits.slice(0, at + 1).filter(Boolean).length / (at + 1)] : [],
          );
          return found.reduce((sum, each) => sum + each, 0) / Math.max(1, found.length);
        });
        return { name: "precision", value: averages.reduce((sum, each) => sum + each, 0) / averages.length };
      },
    })),
};

const noSettings = z.strictObject({});
/** A made-up error in pixels, smaller with every candidate, for numbers of labels. */
const distance: Protocol<"distance", typeof noSettings> = {
  name: "distance",
  usual: false,
  metric: { name: "distance, px", share: false, better: "lower" },
  settings: noSettings,
  tasks({ questions }, settings) {
    return questions.flatMap((question) =>
      [1, 10].map((labels) => {
        let value = 1500 / labels;
        return {
          label: `distance, ${labels} labels`,
          chance: 4000,
          question,
          needs: "features",
          settings,
          run: async () => ({ name: "distance", value: (value /= 2), deviation: 2.5, labels }),
        };
      }),
    );
  },
};

let run: string;
beforeAll(async () => {
  run = await trainHere(tiny());
  await evaluate(run, { protocols: ["knn", precision, distance], encoders: ["random", "cl"] });
});

it("names, settings and what is usual follow from the list of protocols", () => {
  expect(protocols.map(({ name }) => name)).toEqual(protocolNames);
  expect(usual).toEqual(["knn", "linear", "few-shot", "retrieval"]);
  for (const { settings } of protocols) expect(settings.safeParse({}).success).toBe(true);
  const known: ProtocolSettings = { knn: { ks: [1] }, "few-shot": { preparation: "paper" } };
  // @ts-expect-error: a setting of another type
  const wrong: ProtocolSettings = { knn: { ks: "1" } };
  // @ts-expect-error: no such protocol
  const strange: ProtocolSettings = { kmeans: {} };
  expect([known, wrong, strange]).toHaveLength(3);
});

it("one of your own stands beside the built-in ones, with its metric", () => {
  const { rows } = readEvaluation(run)!;
  expect(rows.map(({ protocol, metric, share, better }) => [protocol, metric, share, better])).toEqual([
    ["knn", "accuracy", undefined, undefined],
    ["precision", "mean average precision", undefined, undefined],
    ["distance", "distance, px", false, "lower"],
    ["distance", "distance, px", false, "lower"],
  ]);
  expect(rows[1]).toMatchObject({ label: "images of the same class, 4 classes", settings: { depth: 10 } });
  expect(rows[2]!.values).toEqual({ random: 750, cl: 375 });
});

it("a table is of one metric, and says of which", () => {
  const shown = formatEvaluation(readEvaluation(run)!).split("\n\n");
  expect(shown.map((table) => table.split(/ {2}/)[0])).toEqual([
    "accuracy, %",
    "mean average precision, %",
    "distance, px (lower is better)",
  ]);
  expect(shown[2]).not.toContain("%");
  expect(shown[2]).toMatch(/^distance, 1 labels +750 ±2\.5 +375 ±2\.5 +4,000$/m);
});

it("the report shows it as what it is", () => {
  const text = renderReport(run).replaceAll(/\s+/g, " ");
  expect(text).toContain("mean average precision, chance");
  expect(text).toContain("distance, px, lower is better, chance 4,000");
  expect(text).toMatch(/750 <small>± 2\.5<\/small>/);
  expect(text).toMatch(/<b>375<\/b> <small>± 2\.5<\/small>/); // the best is the lowest
  expect(text).toContain("<strong>after grafting</strong> reaches 37.5 with 10 labels per class.");
  expect(text).toContain("after grafting needs about 7.7 for that.");
});

it("a name is given once", async () => {
  const twin = { ...distance, name: "knn" };
  await expect(tasksOf(tiny().data, {}, [twin])).rejects.toThrow("there are two protocols called knn");
});
