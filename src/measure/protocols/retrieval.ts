/** Is the image most like this one of the same thing? Asked of a data set's pairings, without a label. */
import * as z from "zod";
import { pick } from "../../evaluators/evaluator.ts";
import { retrieval as retrieve } from "../../evaluators/retrieval.ts";
import { accuracy, type Protocol } from "../protocol.ts";

const settings = z.strictObject({});

export const retrieval: Protocol<"retrieval", typeof settings> = {
  name: "retrieval",
  usual: true,
  metric: accuracy,
  settings,
  tasks: ({ pairings }, settings, { device, threads }) =>
    pairings.map(({ what, identities, queries, gallery }) => ({
      label: what,
      chance: 1 / gallery.length,
      needs: "features",
      settings,
      async run(subject) {
        const features = await subject.features();
        const collection = (rows: readonly number[]) => {
          const picked = pick({ features, labels: identities }, rows);
          return { features: picked.features, identities: picked.labels };
        };
        return retrieve(collection(queries), collection(gallery), { device, threads });
      },
    })),
};
