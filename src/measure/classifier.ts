/** The weights of a training step as a classifier. */
import type { Tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import { Scope } from "../nn/scope.ts";
import type { VitConfig } from "../nn/vit.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import { evaluationBatches } from "../data/batches/evaluation.ts";
import type { Source } from "../data/source.ts";
import { type ClassifyOptions, logits } from "../objectives/classify.ts";
import type { Step } from "../step/step.ts";

export interface Classifier {
  /** A class per image; -1 where it cannot be read. Rejects when none can. */
  predict(source: Source, view: CenterView): Promise<Int32Array>;
  release(): Promise<void>;
}

/** Classifies with the weights that `step` has at the time. */
export async function openClassifier(
  { backend, state }: Step,
  model: VitConfig,
  options: ClassifyOptions,
): Promise<Classifier> {
  const batch = 64;
  const { imageSize } = model;
  const scope = new Scope();
  const images = op.input("images", "float32", [batch, 3, imageSize, imageSize]);
  const program = await backend.compile({ logits: logits(scope, model, options, { images }) });
  program.bind({ inputs: Object.fromEntries([...scope.variables.keys()].map((name) => [name, state.handle(name)])) });
  return {
    async predict(source, view) {
      const found = new Int32Array(source.length).fill(-1);
      let failure: Error | undefined;
      const onUnreadable = (_: number, error: Error) => void (failure = error);
      for await (const { images, indices } of evaluationBatches(source, view, batch, { onUnreadable })) {
        const { data, shape } = (await program.run({ images }))["logits"] as Tensor<"float32">;
        const classes = shape[1]!;
        for (const [i, index] of indices.entries()) {
          const row = data.subarray(i * classes, (i + 1) * classes);
          found[index] = row.indexOf(Math.max(...row));
        }
      }
      if (failure !== undefined && found.every((each) => each === -1)) throw failure;
      return found;
    },
    release: () => program.release(),
  };
}
