/** The questions of the demo and of any other data set, asked of validation images: what settings are chosen by. */
import type { Question, Questions } from "../src/data/question.ts";
import { styles } from "../src/data/sources/emoji/installed.ts";
import { openEmoji } from "../src/data/sources/emoji/source.ts";
import { subset } from "../src/data/sources/subset.ts";
import { defineSource, type SourceInput } from "../src/data/sources/open.ts";
import type { Features } from "../src/evaluators/evaluator.ts";
import { fewShot } from "../src/measure/protocols/few-shot.ts";
import { knn } from "../src/measure/protocols/knn.ts";
import { linear } from "../src/measure/protocols/linear.ts";
import { retrieval } from "../src/measure/protocols/retrieval.ts";
import { questionsOf } from "../src/measure/questions.ts";

/** Accuracies by the name of the row, of features of the source of `questions`. */
export async function scoresOf(
  { source, questions, pairings }: Questions,
  features: Features,
  { shots, threads, probes }: { shots: (number | `${number}%`)[]; threads: number; probes: boolean },
): Promise<Record<string, number>> {
  const options = { seed: 0, limit: undefined, threads };
  const common = { source, questions: questions.filter(({ only }) => only === undefined), pairings: [] };
  const tasks = [
    ...knn.tasks({ ...common, questions }, {}, options),
    ...(probes ? linear.tasks(common, {}, options) : []),
    ...fewShot.tasks(common, { shots, draws: 10 }, options),
    ...retrieval.tasks({ source, questions: [], pairings }, {}, options),
  ];
  const scores: Record<string, number> = {};
  for (const task of tasks) {
    const { value } = await task.run({ features: async () => features });
    scores[task.label] = Math.round(value * 1e4) / 100;
  }
  return scores;
}

/** What `questionsOf` asks of test images, asked of validation images. */
export async function validationQuestions(input: SourceInput): Promise<Questions> {
  const spec = defineSource(input);
  if (spec.kind === "emoji") return ofDrawings(spec);
  const found = await questionsOf(spec);
  return { ...found, questions: found.questions.map(untested) };
}

function untested(question: Question): Question {
  const { train, validation } = question.rows;
  return { ...question, rows: { train, validation, test: validation } };
}

async function ofDrawings(spec: Parameters<typeof openEmoji>[0]): Promise<Questions> {
  const whole = await openEmoji({ ...spec, split: "all", styles: [...styles], label: "subgroup" });
  const isSeen = (style: string) => spec.styles.some((each) => each === style);
  const used = whole.drawings.flatMap(({ style }, i) => {
    const split = whole.split!(i);
    return split === "validation" || (split === "train" && isSeen(style)) ? [i] : [];
  });
  const source = subset(whole, used);
  const drawings = used.map((i) => whole.drawings[i]!);
  const rowsOf = (split: string, isWanted: (style: string) => boolean) =>
    drawings.flatMap(({ style }, i) => (source.split!(i) === split && isWanted(style) ? [i] : []));
  const [train, validation] = [rowsOf("train", isSeen), rowsOf("validation", isSeen)];
  const rows = { train, validation, test: validation };
  const question = (by: "subgroup" | "group"): Question => {
    const classes = by === "group" ? whole.groups : whole.subgroups;
    return { what: `${classes.length} ${by}s`, classes, labels: Int32Array.from(drawings, (d) => d[by]), rows };
  };
  const unseen = rowsOf("validation", (style) => !isSeen(style));
  const strange = { ...question("subgroup"), what: "unseen style", rows: { ...rows, test: unseen }, only: "knn" };
  const pairing = (from: string, to: string) => ({
    what: `${from} → ${to}`,
    identities: Int32Array.from(drawings, ({ concept }) => concept),
    queries: rowsOf("validation", (style) => style === from),
    gallery: rowsOf("validation", (style) => style === to),
  });
  return {
    source,
    questions: [question("subgroup"), question("group"), strange],
    pairings: [pairing("noto", "twemoji"), pairing("openmoji", "twemoji")],
    shown: source,
  };
}
