import { describe, expect, it } from "vitest";
import { treatment } from "../../src/optim/groups.ts";
import { layerGrafted } from "../../src/recipes/layer-grafted.ts";
import { presets } from "../../src/nn/vit.ts";
import { defineRecipe, objectiveOf } from "../../src/train/recipe.ts";

const recipeFor = (preset: string, rates?: number[]) =>
  defineRecipe(
    layerGrafted({
      data: { kind: "synthetic" },
      model: presets[preset]!,
      mim: { epochs: 100, batch: 64, microBatch: 32, learningRate: 1.5e-4 },
      cl: { epochs: 5, batch: 64, learningRate: 1.5e-4, ...(rates === undefined ? {} : { rates }) },
    }),
  );

describe("layer-grafted", () => {
  const { stages } = recipeFor("vit-base/16");
  const [mim, cl] = stages;

  it("is MIM, then CL that starts from MIM's encoder", () => {
    expect(stages.map(({ objective }) => objective.kind)).toEqual(["mae", "mocov3"]);
    expect(cl!.init).toMatchObject([{ stage: "mim", from: "", to: "base_encoder." }]);
    expect(mim!.init).toEqual([]);
  });

  it.each([
    ["blocks.0.attn.qkv.weight", 0.1],
    ["blocks.3.mlp.fc2.bias", 0.1],
    ["blocks.4.norm1.weight", 0.1],
    ["blocks.7.mlp.fc1.weight", 0.1],
    ["blocks.8.attn.proj.weight", 1],
    ["blocks.11.mlp.fc2.weight", 1],
    ["cls_token", 0.1],
    ["norm.weight", 1],
    ["head.0.weight", 1],
  ])("ViT-B, %s: the paper's thirds, %d of the learning rate", (name, rate) => {
    expect(treatment(cl!.rates, `base_encoder.${name}`)).toMatchObject({ rate, frozen: false });
  });

  it("freezes the patch projection, trains the predictor in full and everything alike in MIM", () => {
    expect(treatment(cl!.rates, "base_encoder.patch_embed.proj.weight").frozen).toBe(true);
    expect(treatment(cl!.rates, "predictor.0.weight")).toMatchObject({ rate: 1, frozen: false });
    for (const name of ["blocks.0.attn.qkv.weight", "patch_embed.proj.weight", "decoder_pred.weight"])
      expect(treatment(mim!.rates, name)).toMatchObject({ rate: 1, frozen: false });
  });

  it("takes other rates in other groups", () => {
    const { rates } = recipeFor("vit-tiny/16", [0.01, 1]).stages[1]!;
    expect(treatment(rates, "base_encoder.blocks.5.mlp.fc1.weight").rate).toBe(0.01);
    expect(treatment(rates, "base_encoder.blocks.6.mlp.fc1.weight").rate).toBe(1);
    expect(() => recipeFor("vit-tiny/16", [0.1, 0.1, 0.1, 0.1, 1])).toThrow(
      "a depth of 12 blocks cannot be cut into 5 equal groups",
    );
  });

  it("has the paper's numbers where none are given", () => {
    expect(mim!.objective).toMatchObject({ decoderWidth: 512, decoderDepth: 8, decoderHeads: 16, maskRatio: 0.75 });
    expect(cl!.objective).toMatchObject({ mlpDim: 4096, dim: 256, temperature: 0.2, momentum: 0.99 });
    expect(mim!.optimizer).toMatchObject({ betas: [0.9, 0.95], weightDecay: 0.05 });
    expect(cl!.optimizer).toMatchObject({ betas: [0.9, 0.999], weightDecay: 0.1 });
    expect([mim!.warmup, cl!.warmup]).toEqual([10, 0.5]);
    expect(cl!.microBatch).toBe(64);
  });

  it.each(Object.keys(presets))("fits %s: every stage's objective can be made", (preset) => {
    const recipe = recipeFor(preset);
    for (const stage of recipe.stages) {
      const { fields } = objectiveOf(recipe, stage);
      expect(Object.keys(fields).sort()).toEqual(Object.keys(stage.views).sort());
    }
  });
});
