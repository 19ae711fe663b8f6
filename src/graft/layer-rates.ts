import { scaleByBatch } from "../optim/schedules.ts";
import { treatment } from "../optim/groups.ts";
import type { LearningRates } from "../run/samples.ts";
import type { ResolvedStage } from "../recipe/stage.ts";

/** The peak learning rate that each layer of the encoder gets in each stage: the picture of a graft. */
export function layerRates(stages: readonly ResolvedStage[]): LearningRates {
  const blocks = Array.from({ length: stages[0]!.model.depth }, (_, i) => ({
    layer: `block ${i}`,
    name: `blocks.${i}.mlp.fc1.weight`,
  }));
  const layers = [
    { layer: "patches", name: "patch_embed.proj.weight" },
    ...blocks,
    { layer: "norm", name: "norm.weight" },
    { layer: "head", name: "head.0.weight" },
  ];
  const drawn = stages.map((stage) => {
    const { encoder } = stage.objective;
    const peak = scaleByBatch(stage.learningRate, stage.batch);
    const rates = layers.map(({ layer, name }) => {
      const { rate, frozen } = treatment(stage.rates, encoder + name);
      return { layer, rate: frozen ? 0 : peak * rate, ...(frozen ? { frozen } : {}) };
    });
    return { stage: stage.name, layers: rates };
  });
  return { stages: drawn };
}
