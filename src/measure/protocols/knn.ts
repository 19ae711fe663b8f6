/** k nearest neighbours: the training images most like a test image vote for its class. */
import * as z from "zod";
import { knn as evaluator } from "../../evaluators/knn.ts";
import { accuracy, classTask, type Protocol } from "../protocol.ts";
import { splitsOf } from "../questions.ts";

export const votes = z
  .strictObject({ ks: z.array(z.int().min(1)).min(1), temperatures: z.array(z.number().positive()).min(1) })
  .partial();

export const knn: Protocol<"knn", typeof votes> = {
  name: "knn",
  usual: true,
  metric: accuracy,
  settings: votes,
  tasks: ({ questions }, settings, options) =>
    questions.map((question) => ({
      ...classTask("k-NN", question, settings, options),
      needs: "features",
      async run({ features }) {
        const { device, threads } = options;
        return (await evaluator.run(splitsOf(question, await features()), { ...settings, device, threads }))[0]!;
      },
    })),
};
