/** Linear heads with many learning rates and weight decays, trained together, on the first question; it takes minutes. */
import * as z from "zod";
import { augmentedLinearSweep, linearSweep as evaluator } from "../../evaluators/linear-sweep.ts";
import { sweepSettings } from "../../evaluators/sweep-recipe.ts";
import { accuracy, classTask, type Protocol } from "../protocol.ts";
import { splitsOf } from "../questions.ts";

const settings = sweepSettings.extend({ augmented: z.boolean().optional() });

export const linearSweep: Protocol<"linear-sweep", typeof settings> = {
  name: "linear-sweep",
  usual: false,
  metric: accuracy,
  settings,
  tasks({ source, questions }, { augmented = false, ...settings }, options) {
    const { seed, threads, device } = options;
    const title = `linear sweep (${settings.preset ?? "lgp"}${augmented ? ", augmented images" : ""})`;
    return questions.slice(0, 1).map((question) => ({
      ...classTask(title, question, settings, options),
      needs: augmented ? "encoder" : "features",
      async run({ features, encoder }, { onProgress } = {}) {
        const sweep = { ...settings, seed, threads, device, onProgress };
        if (augmented) return augmentedLinearSweep({ encoder: encoder!, source, splits: question.rows }, sweep);
        return (await evaluator.run(splitsOf(question, await features()), sweep))[0]!;
      },
    }));
  },
};
