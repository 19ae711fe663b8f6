import { describe, expect, it } from "vitest";
import { treatment } from "../../src/optim/groups.ts";
import { type GraftOptions, method, type Method, type MethodOptions, methods } from "../../src/methods/methods.ts";
import { presets } from "../../src/nn/vit.ts";
import { defineRecipe, type Stage } from "../../src/recipe/recipe.ts";
import { resolveStage } from "../../src/recipe/stage.ts";

const base: MethodOptions = {
  data: { kind: "synthetic" },
  model: presets["vit-base/16"]!,
  mim: { epochs: 100, batch: 64, microBatch: 32, learningRate: 1.5e-4 },
  cl: { epochs: 5, batch: 64, learningRate: 1.5e-4 },
};
const make = (name: Method, options: Partial<MethodOptions> = {}) =>
  defineRecipe(method(name, { ...base, ...options }));
const grafted = (graft: GraftOptions, name: Method = "layer-grafted") => make(name, { graft }).stages.at(-1)!;
const frozen = ({ rates }: Stage, name: string) => treatment(rates, name).frozen;

describe("every method", () => {
  it.each([
    ["mim", ["mae"]],
    ["cl", ["mocov3"]],
    ["mtl", ["joint"]],
    ["mim-to-cl", ["mae", "mocov3"]],
    ["cl-to-mim", ["mocov3", "mae"]],
    ["layer-grafted", ["mae", "mocov3"]],
    ["auto-grafted", ["mae", "mocov3"]],
  ] as const)("%s trains for %j", (name, kinds) => {
    const { stages, name: called } = make(name);
    expect(stages.map(({ objective }) => objective.kind)).toEqual(kinds);
    expect(called).toBe(name);
    expect(stages[0]!.init).toEqual([]);
  });
  it("that has two stages may start from a checkpoint in place of the first", () => {
    for (const name of Object.keys(methods) as Method[]) {
      const count = make(name).stages.length;
      if (count === 1) expect(() => make(name, { parent: "x" })).toThrow(`${name} is one stage: no parent`);
      else {
        const [only, ...more] = make(name, { parent: "mae.safetensors" }).stages;
        expect(more).toEqual([]);
        expect(only!.init[0]).toMatchObject({ path: "mae.safetensors" });
        expect(only!.rates).toEqual(make(name).stages[1]!.rates);
      }
    }
  });
});

describe("every stage", () => {
  it("follows a cosine, or the schedule that is asked for", () => {
    const schedules = (options: Partial<MethodOptions>) =>
      make("layer-grafted", options).stages.map(({ schedule, anneal }) => [schedule, anneal]);
    expect(schedules({ cl: { ...base.cl, schedule: "constant" } })).toEqual([
      ["cosine", 0.1],
      ["constant", 0.1],
    ]);
  });

  const watching = (watch?: number | false) =>
    make("layer-grafted", watch === undefined ? {} : { watch }).stages.map(({ monitors }) => monitors);

  it("is looked at ten times, and not twice an epoch", () => {
    const features = { kind: "features", images: 512 };
    expect(watching()).toEqual([[{ ...features, everyEpochs: 10 }], [{ ...features, everyEpochs: 1 }]]);
    expect(make("mtl").stages[0]!.monitors).toHaveLength(1);
  });
  it("or as often as one likes, or never", () => {
    expect(watching(3).map((monitors) => monitors![0]!.everyEpochs)).toEqual([3, 3]);
    expect(watching(false)).toEqual([undefined, undefined]);
  });
});

describe("layer-grafted", () => {
  const { stages } = make("layer-grafted");
  const [mim, cl] = stages;

  it("starts CL from MIM's encoder", () => {
    expect(cl!.init).toEqual([{ stage: "mim", match: "" }]);
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
    expect(frozen(cl!, "base_encoder.patch_embed.proj.weight")).toBe(true);
    expect(treatment(cl!.rates, "predictor.0.weight")).toMatchObject({ rate: 1, frozen: false });
    for (const name of ["blocks.0.attn.qkv.weight", "patch_embed.proj.weight", "decoder_pred.weight"])
      expect(treatment(mim!.rates, name)).toMatchObject({ rate: 1, frozen: false });
  });

  it("takes other rates in other groups", () => {
    const { rates } = grafted({ rates: [0.01, 1] });
    expect(treatment(rates, "base_encoder.blocks.5.mlp.fc1.weight").rate).toBe(0.01);
    expect(treatment(rates, "base_encoder.blocks.6.mlp.fc1.weight").rate).toBe(1);
    expect(() => grafted({ rates: [0.1, 0.1, 0.1, 0.1, 1] })).toThrow(
      "a depth of 12 blocks cannot be cut into 5 equal groups",
    );
  });

  it("or a learning rate that falls geometrically", () => {
    const { rates } = grafted({ layerDecay: 0.6 });
    const rate = (name: string) => treatment(rates, `base_encoder.${name}`).rate;
    expect(rate("cls_token")).toBeCloseTo(0.6 ** 13, 12);
    expect(rate("blocks.0.norm1.bias")).toBeCloseTo(0.6 ** 12, 12);
    expect(rate("blocks.5.norm1.bias")).toBeCloseTo(0.6 ** 7, 12);
    expect(rate("blocks.11.norm1.bias")).toBeCloseTo(0.6, 12);
    expect([rate("norm.weight"), treatment(rates, "predictor.0.weight").rate]).toEqual([1, 1]);
  });

  it("may have lazy lower blocks: class token and those whose rate is below 1", () => {
    const every = (graft: GraftOptions) => {
      const { rates } = grafted(graft);
      const names = ["cls_token", "blocks.0.norm1.bias", "blocks.7.norm1.bias", "blocks.8.norm1.bias", "norm.weight"];
      return names.map((name) => treatment(rates, `base_encoder.${name}`).every);
    };
    expect(every({ lazy: 4 })).toEqual([4, 4, 4, undefined, undefined]);
    expect(every({ lazy: 2, rates: [0.1, 1, 1] })).toEqual([2, 2, undefined, undefined, undefined]);
    expect(every({ lazy: 2, rates: [0.1, 0.5] })).toEqual([2, 2, 2, 2, undefined]);
    expect(every({})).toEqual([undefined, undefined, undefined, undefined, undefined]);
    const without = grafted({ lazy: 4 }).rates.map((rule) => ({ ...rule, every: undefined }));
    expect(without).toEqual(grafted({}).rates);
    expect(() => grafted({ lazy: 4, fixTo: 2 })).not.toThrow();
  });

  it.each([
    ["mtl", { lazy: 4 }, "lazy is for lower blocks that learn slowly, but mtl has one stage"],
    ["mim-to-cl", { lazy: 4 }, "but mim-to-cl freezes its lower blocks, which is less work still"],
    [
      "auto-grafted",
      { lazy: 4 },
      "but auto-grafted measures its rates when the stage begins; graft-plan measures them now",
    ],
    ["layer-grafted", { lazy: 4, layerDecay: 0.5 }, "layer-grafted with layerDecay has a rate below 1 in every block"],
    ["layer-grafted", { lazy: 4, rates: [1, 1] }, "layer-grafted with these rates has no block below 1"],
    ["layer-grafted", { lazy: 4, rates: [1, 0.1, 1] }, "every is for embeddings and lowest blocks, without a gap"],
    ["layer-grafted", { lazy: 4, fixTo: 8 }, "a rule says every 4 steps, but matches nothing that is trained"],
    ["layer-grafted", { lazy: 1 }, "every: must be a whole number of at least 2"],
  ] as const)("%s with %j is refused", (name, graft, message) => {
    expect(() => grafted(graft, name)).toThrow(message);
  });

  it("has the paper's numbers where none are given", () => {
    expect(mim!.objective).toMatchObject({ decoderWidth: 512, decoderDepth: 8, decoderHeads: 16, maskRatio: 0.75 });
    expect(cl!.objective).toMatchObject({ mlpDim: 4096, dim: 256, temperature: 0.2, momentum: 0.99 });
    expect(mim!.optimizer).toMatchObject({ betas: [0.9, 0.95], weightDecay: 0.05 });
    expect(cl!.optimizer).toMatchObject({ betas: [0.9, 0.999], weightDecay: 0.1 });
    expect(mim).toMatchObject({ epochs: 100, batch: 64, microBatch: 32, warmup: 10 });
    expect(cl).toMatchObject({ epochs: 5, batch: 64, microBatch: 64, warmup: 0.5 });
    const [moco1, moco2] = [cl!.views["view1"]!, cl!.views["view2"]!];
    expect(moco1).toMatchObject({ scale: [0.08, 1], blur: { probability: 1 } });
    expect(moco2).toMatchObject({ blur: { probability: 0.1 }, solarize: { probability: 0.2 } });
  });
});

describe("frozen lower blocks", () => {
  it.each(["mim-to-cl", "cl-to-mim"] as const)("%s: two thirds unless said otherwise", (name) => {
    const prefix = name === "mim-to-cl" ? "base_encoder." : "";
    const state = (stage: Stage) =>
      ["cls_token", "patch_embed.proj.bias", "blocks.0.norm1.bias", "blocks.7.norm1.bias", "blocks.8.norm1.bias"]
        .concat("blocks.11.norm1.bias", "norm.weight")
        .map((each) => frozen(stage, prefix + each));
    expect(state(make(name).stages[1]!)).toEqual([true, true, true, true, false, false, false]);
    expect(state(grafted({ fixTo: 1 }, name))).toEqual([true, true, true, false, false, false, false]);
    expect(state(grafted({ fixTo: 0 }, name))).toEqual([true, true, false, false, false, false, false]);
    expect(state(grafted({ fixTo: 12 }, name))).toEqual([true, true, true, true, true, true, false]);
  });
  it("leaves decoder and heads trainable", () => {
    expect(frozen(grafted({}, "cl-to-mim"), "decoder_blocks.0.norm1.bias")).toBe(false);
    expect(frozen(grafted({}, "mim-to-cl"), "predictor.0.weight")).toBe(false);
  });
  it("go together with rates", () => {
    const { rates } = grafted({ fixTo: 2, rates: [0.1, 1] });
    expect(treatment(rates, "base_encoder.blocks.1.norm1.bias").frozen).toBe(true);
    expect(treatment(rates, "base_encoder.blocks.2.norm1.bias")).toMatchObject({ frozen: false, rate: 0.1 });
  });
});

describe("the start of the second stage", () => {
  const matches = ({ match }: Stage["init"][number], names: string[]) =>
    names.filter((name) => new RegExp(match).test(name));
  const names = [
    "cls_token",
    "pos_embed",
    "patch_embed.proj.bias",
    "blocks.1.norm1.bias",
    "blocks.10.norm1.bias",
  ].concat("blocks.2.norm1.bias", "norm.bias", "head.0.weight", "decoder_blocks.1.norm1.bias");
  it("is all of the first stage's encoder", () => {
    expect(make("cl-to-mim").stages[1]!.init).toEqual([{ stage: "cl", match: "" }]);
  });
  it("is the lower part only when the upper blocks start afresh", () => {
    const [start, ...more] = grafted({ fixTo: 2, freshEnd: true }).init;
    expect(more).toEqual([]);
    expect(matches(start!, names)).toEqual(names.slice(0, 4));
  });
  it("is the upper part of another run as well", () => {
    const { init } = grafted({ fixTo: 2, endFrom: "cl.safetensors" });
    expect(matches(init[0]!, names)).toEqual(names.slice(0, 4));
    expect(init[1]).toMatchObject({ path: "cl.safetensors" });
    expect(matches(init[1]!, names)).toEqual(["blocks.10.norm1.bias", "blocks.2.norm1.bias", "norm.bias"]);
  });
  it("may be held by an L1 anchor", () => {
    const { objective } = grafted({ l1Anchor: { weight: 1e-5, blocks: 12 } });
    expect(objective).toMatchObject({ kind: "mocov3", l1Anchor: { weight: 1e-5, blocks: 12 } });
  });
  it("has no contradictions", () => {
    expect(() => grafted({ freshEnd: true })).toThrow("say with fixTo where the upper blocks begin");
    expect(() => grafted({ fixTo: 2, freshEnd: true, endFrom: "x" })).toThrow("either afresh or from a checkpoint");
    expect(() => grafted({ l1Anchor: { weight: 1, blocks: 1 } }, "cl-to-mim")).toThrow("contrastive second stage");
  });
});

describe("joint training", () => {
  it("takes everything from CL that is not said, and gives each loss its views", () => {
    const [stage] = make("mtl", { mtl: { epochs: 7, mimWeight: 2 } }).stages;
    expect(stage).toMatchObject({ epochs: 7, batch: 64, rates: [] });
    expect(stage!.objective).toMatchObject({ mimWeight: 2, clWeight: 1, mim: { kind: "mae" }, cl: { kind: "mocov3" } });
    expect(Object.keys(stage!.views).sort()).toEqual(["images", "noise", "view1", "view2"]);
    expect(resolveStage(make("mtl"), stage!).objective.encoder).toBe("base_encoder.");
  });
});

describe("settings of a loss", () => {
  it("name another one", () => {
    const cl = (objective: "simclr" | "vicreg", more = {}) =>
      make("cl", { cl: { ...base.cl, objective, mlpDim: 64, ...more } }).stages[0]!.objective;
    expect(cl("simclr", { dim: 8, temperature: 0.5 })).toMatchObject({ kind: "simclr", mlpDim: 64, temperature: 0.5 });
    expect(cl("vicreg")).toMatchObject({ kind: "vicreg", mlpDim: 64, dim: 64, variance: 25 });
    expect(() => cl("simclr", { momentum: 0.9 })).toThrow("simclr has no key encoder");
    expect(() => cl("vicreg", { temperature: 0.9 })).toThrow("vicreg has no temperature");
    const mim = (more = {}) => make("mim", { mim: { ...base.mim, objective: "simmim", ...more } }).stages[0]!.objective;
    expect(mim()).toEqual({ kind: "simmim", maskRatio: 0.6, maskUnit: 1 });
    expect(() => mim({ normPix: true })).toThrow("simmim predicts pixels as they are");
  });
  it("that do not fit the model are refused", () => {
    const recipe = method("mim", { ...base, mim: { ...base.mim, objective: "simmim" } });
    const stage = { ...recipe.stages[0]!, objective: { kind: "simmim" as const, maskUnit: 3 } };
    expect(() => defineRecipe({ ...recipe, stages: [stage] })).toThrow(
      /^this recipe cannot be run: stages\.0\.objective: /,
    );
  });
  it("reach it wherever it is used", () => {
    const options = {
      mim: { ...base.mim, maskRatio: 0.5, normPix: false },
      cl: { ...base.cl, temperature: 0.5, momentum: 0.9, patchDrop: { ratio: 0.75, keys: "all" as const } },
    };
    const [mim, cl] = make("layer-grafted", options).stages;
    const [joint] = make("mtl", options).stages;
    expect(mim!.objective).toMatchObject({ maskRatio: 0.5, normPix: false });
    expect(cl!.objective).toMatchObject({ temperature: 0.5, momentum: 0.9, patchDrop: { ratio: 0.75, keys: "all" } });
    expect(joint!.objective).toMatchObject({ mim: mim!.objective, cl: cl!.objective });
    expect(Object.keys(cl!.views).sort()).toEqual(["noise1", "noise2", "view1", "view2"]);
  });
});
