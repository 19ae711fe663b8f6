/** k-NN among the training images, each without itself: a number from all labels where there are too few to hold back. */
import { describeVote, leaveOneOut as measure } from "../../evaluators/knn.ts";
import { accuracy, classTask, type Protocol } from "../protocol.ts";
import { splitsOf } from "../questions.ts";
import { votes } from "./knn.ts";

export const leaveOneOut: Protocol<"leave-one-out", typeof votes> = {
  name: "leave-one-out",
  usual: false,
  metric: accuracy,
  settings: votes,
  tasks: ({ questions }, settings, options) =>
    questions.map((question) => ({
      ...classTask("k-NN, leave one out of the training images", question, settings, options),
      needs: "features",
      async run({ features }) {
        const { device, threads } = options;
        const { best } = await measure(splitsOf(question, await features()).train, { ...settings, device, threads });
        return { name: "leave-one-out", value: best.value, detail: describeVote(best) };
      },
    })),
};
