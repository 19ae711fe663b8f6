/** Linear probe: logistic regression on frozen, standardised features, solved exactly for each penalty. */
import * as z from "zod";
import { linear as evaluator } from "../../evaluators/linear.ts";
import { accuracy, classTask, type Protocol } from "../protocol.ts";
import { splitsOf } from "../questions.ts";

const settings = z.strictObject({ lambdas: z.array(z.number().positive()).min(1) }).partial();

export const linear: Protocol<"linear", typeof settings> = {
  name: "linear",
  usual: true,
  metric: accuracy,
  settings,
  tasks: ({ questions }, settings, options) =>
    questions.map((question) => ({
      ...classTask("linear probe", question, settings, options),
      needs: "features",
      async run({ features }) {
        const { threads } = options;
        return (await evaluator.run(splitsOf(question, await features()), { ...settings, threads }))[0]!;
      },
    })),
};
