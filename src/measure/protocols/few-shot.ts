/** What frozen features are worth when only a few images are labelled, of the first question: a row per choice of labels. */
import * as z from "zod";
import { fewShot as evaluator } from "../../evaluators/few-shot.ts";
import { describeChoice, isDrawn, labelChoice, listedRows } from "../labels.ts";
import { accuracy, classTask, type Protocol } from "../protocol.ts";
import { readable, splitsOf } from "../questions.ts";

const settings = z.strictObject({
  shots: z.array(labelChoice).min(1).default([1, 5]),
  draws: z.int().min(1).default(5),
  preparation: z.enum(["paper", "standardized"]).optional(),
  lambda: z.number().positive().optional(),
});

export const fewShot: Protocol<"few-shot", typeof settings> = {
  name: "few-shot",
  usual: true,
  metric: accuracy,
  settings,
  tasks: ({ source, questions }, { shots, ...settings }, options) =>
    questions.slice(0, 1).flatMap((question) =>
      shots.map((shot) => ({
        ...classTask(describeChoice(shot), question, { ...settings, shots: [shot] }, options),
        chance: 1 / question.classes.length,
        needs: "features",
        async run({ features }) {
          const { seed, threads } = options;
          const known = await features();
          const { train } = readable(question, known).rows;
          const labelled = isDrawn(shot)
            ? shot
            : { file: shot, rows: placesIn(train, await listedRows(shot, question, source)) };
          const asked = { ...settings, seed, shots: [labelled], threads };
          return (await evaluator.run(splitsOf(question, known), asked))[0]!;
        },
      })),
    ),
};

/** Where in `rows` the wanted ones are, of those that are there: an image that cannot be read is not. */
function placesIn(rows: readonly number[], wanted: readonly number[]): number[] {
  const places = new Map(rows.map((row, place) => [row, place]));
  return wanted.flatMap((row) => places.get(row) ?? []);
}
