import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import * as op from "../../src/graph/ops/index.ts";
import { resizePositions } from "../../src/nn/interpolate.ts";
import { treatment } from "../../src/optim/groups.ts";
import { Scope } from "../../src/nn/scope.ts";
import { evaluationBatches } from "../../src/data/batches/evaluation.ts";
import type { Source } from "../../src/data/source.ts";
import { centerCrop, maeView } from "../../src/data/augmentation/views.ts";
import { logits } from "../../src/objectives/classify.ts";
import { initialParameters } from "../../src/evaluators/encoder.ts";
import { fineTunePresets, fineTuneRules, resolveSettings } from "../../src/measure/finetune-settings.ts";
import { fineTune, type FineTuneData, type FineTuneOptions } from "../../src/measure/finetune.ts";
import { evaluate, randomFor } from "../helpers.ts";

const model = { imageSize: 8, patchSize: 4, width: 16, depth: 2, heads: 2 };
const view = centerCrop(8, { resize: 8 });
const parameters = initialParameters(model, key(1));
const subject = { model, view, parameters };

/** Noise around a colour per class; those in `broken` cannot be read. */
function colours(length: number, broken: readonly number[] = []): FineTuneData {
  const classes = [
    [200, 60, 60],
    [60, 60, 200],
    [60, 200, 60],
  ] as const;
  const label = (i: number) => i % 3;
  const source: Source = {
    name: "colours",
    length,
    classes: ["red", "blue", "green"],
    id: (i) => `image ${i}`,
    label,
    async load(i) {
      if (broken.includes(i)) throw new Error(`cannot read image ${i}`);
      const random = randomFor("colours", i);
      const data = Uint8Array.from({ length: 192 }, (_, at) => classes[label(i)]![at % 3]! + random.integer(50));
      return { width: 8, height: 8, data };
    },
  };
  const rows = Array.from({ length }, (_, i) => i);
  const labels = Int32Array.from(rows, label);
  const part = (from: number, to: number) => rows.slice(from * length, to * length);
  const parts = { train: part(0, 0.5), validation: part(0.5, 0.75), test: part(0.75, 1) };
  return { source, labels, classes: source.classes, rows: parts };
}
const data = colours(48);
const withRows = (rows: Partial<FineTuneData["rows"]>) => ({ ...data, rows: { ...data.rows, ...rows } });
const quick: FineTuneOptions = {
  epochs: 10,
  batch: 8,
  learningRate: 0.1,
  layerDecay: 0.9,
  view: maeView(8),
  threads: 1,
};

describe("fine-tuning", () => {
  it("learns to tell colours apart and says so on test images", async () => {
    const seen: [number, number, string][] = [];
    const onProgress = (...progress: [number, number, string]) => void seen.push(progress);
    const tuned = await fineTune(subject, data, { ...quick, evaluateEvery: 4, onProgress });
    expect(tuned).toMatchObject({ name: "fine-tune", detail: "epoch 10 of 10", value: 1, validation: 1, model, view });
    expect([...tuned.predictions]).toEqual([0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2]);
    expect(tuned.history.map(({ epoch }) => epoch)).toEqual([4, 8, 10]); // the last one is always validated
    expect(tuned.epoch).toBe(10);
    expect(tuned.history.at(-1)!.loss).toBeLessThan(tuned.history[0]!.loss);
    expect(seen[0]).toEqual([0, 30, "epoch 1 of 10"]);
    expect(seen.at(-1)).toEqual([30, 30, ""]);
    expect(tuned.parameters.get("head.weight")!.shape).toEqual([3, 16]);
  });

  it("repeats to the bit, and another seed does not", async () => {
    const short = { ...quick, epochs: 2 };
    const [first, second, other] = [
      await fineTune(subject, data, short),
      await fineTune(subject, data, { ...short, microBatch: 8 }),
      await fineTune(subject, data, { ...short, seed: 1 }),
    ];
    expect(second).toEqual(first);
    expect(other.history).not.toEqual(first.history);
  });

  it("augments strongly or lightly, as it is told", async () => {
    const run = (augmentation: "strong" | "light") =>
      fineTune(subject, data, { ...quick, view: undefined, augmentation, epochs: 2 });
    const [strong, light] = [await run("strong"), await run("light")];
    expect(light.history).not.toEqual(strong.history);
  });

  it("gives the weights of the best epoch, not of the last", async () => {
    // The learning rate rises to where all is forgotten again.
    const tuned = await fineTune(subject, data, { ...quick, epochs: 6, minLearningRate: 10 });
    const { parameters, predictions, epoch, validation, history } = tuned;
    expect(history.at(-1)!.validation).toBeLessThan(validation);
    expect(validation).toBe(Math.max(...history.map((each) => each.validation)));
    expect(epoch).toBe(history.findLast((each) => each.validation === validation)!.epoch);

    const scope = new Scope();
    const images = op.input("images", "float32", [12, 3, 8, 8]);
    const scores = logits(scope, model, { classes: 3, pooling: "cls" }, { images });
    const { value } = await evaluationBatches(data.source, view, 12, { indices: data.rows.test }).next();
    const { best } = await evaluate(
      { best: op.topK(scores, 1).indices },
      { ...Object.fromEntries(parameters), images: value!.images },
    );
    expect(Array.from(best.data, Number)).toEqual([...predictions]);
  });

  it("leaves frozen layers as they were and moves the others", async () => {
    const tuned = await fineTune(subject, data, { ...quick, epochs: 1, freezeBelow: 1 });
    for (const [name, { data }] of tuned.parameters) {
      if (name.startsWith("head.")) continue;
      const kept = /^(cls_token|pos_embed|patch_embed\.|blocks\.0\.)/.test(name);
      if (kept) expect(data, name).toEqual(parameters.get(name)!.data);
      else expect(data, name).not.toEqual(parameters.get(name)!.data);
    }
  });

  it("averages patches under a norm of its own", async () => {
    const tuned = await fineTune(subject, data, { ...quick, pooling: "mean", dropPath: 0 });
    expect(tuned.value).toBe(1);
    expect([...tuned.parameters.keys()].filter((name) => /^(fc_)?norm\./.test(name)).sort()).toEqual([
      "fc_norm.bias",
      "fc_norm.weight",
    ]);
  });

  it("goes on from a projector's first layer", async () => {
    const first = tensor(
      "float32",
      [6, 16],
      Float32Array.from({ length: 96 }, (_, i) => Math.sin(i)),
    );
    const withHead = { ...subject, parameters: new Map([...parameters, ["head.0.weight", first] as const]) };
    const options = { ...quick, epochs: 1, learningRate: 1e-6, tuneFromFirstFC: true };
    const tuned = await fineTune(withHead, data, options);
    const kept = tuned.parameters.get("head.0.weight")!.data as Float32Array;
    kept.forEach((x, i) => expect(x).toBeCloseTo(first.data[i]!, 4));
    expect(tuned.parameters.get("head.1.weight")!.shape).toEqual([3, 6]);
  });

  it("sees larger images with the position embedding resized", async () => {
    const view = maeView(16);
    const tuned = await fineTune(subject, data, { ...quick, imageSize: 16, view, epochs: 1 });
    expect(tuned.model).toEqual({ ...model, imageSize: 16 });
    expect(tuned.view).toMatchObject({ size: 16, resize: 16 });
    const positions = parameters.get("pos_embed") as Tensor<"float32">;
    expect(tuned.parameters.get("pos_embed")).toEqual(resizePositions(positions, 4));
  });

  it("works with two images and a batch far too large", async () => {
    const two = withRows({ train: [0, 1, 2] });
    const tuned = await fineTune(subject, two, { ...quick, batch: 1024, epochs: 2 });
    expect(tuned.history).toHaveLength(2);
    expect(tuned.predictions).toHaveLength(12);
  });

  it("replaces training images that cannot be read and does not count others", async () => {
    const broken = colours(48, [3, 30, 40]);
    const tuned = await fineTune(subject, broken, quick);
    expect(tuned.predictions[40 - 36]).toBe(-1);
    expect(tuned.value).toBe(1);
    const noTest = { ...broken, rows: { ...broken.rows, test: [40] } };
    await expect(fineTune(subject, noTest, { ...quick, epochs: 1 })).rejects.toThrow("cannot read image 40");
  });
});

describe("settings", () => {
  it("have the paper's layer decay: 0.6 at a depth of 12", () => {
    const rules = fineTuneRules(12, { layerDecay: 0.6 });
    const rates = {
      cls_token: 0.001306,
      "patch_embed.proj.weight": 0.001306,
      "blocks.0.attn.qkv.weight": 0.002177,
      "blocks.5.mlp.fc1.bias": 0.027994,
      "blocks.11.norm1.weight": 0.6,
      "norm.weight": 1,
      "fc_norm.bias": 1,
      "head.weight": 1,
      "head.0.weight": 1,
    };
    for (const [name, rate] of Object.entries(rates)) expect(treatment(rules, name).rate, name).toBeCloseTo(rate, 6);
  });
  it("decay all but the class token and freeze what is asked for", () => {
    const rules = fineTuneRules(12, { layerDecay: 0.6, freezeBelow: 3 });
    const say = (name: string) => treatment(rules, name);
    expect(say("cls_token")).toMatchObject({ decay: false, frozen: true });
    expect(say("blocks.2.mlp.fc1.weight")).toMatchObject({ decay: true, frozen: true });
    expect(say("blocks.3.mlp.fc1.weight")).toMatchObject({ decay: true, frozen: false });
    expect(say("head.weight")).toEqual({ rate: 1, decay: true, frozen: false });
  });
  it("are the preset's where nothing else is said", () => {
    expect(resolveSettings({})).toEqual(fineTunePresets.full);
    expect(resolveSettings({ preset: "tenth", epochs: 3, layerDecay: undefined })).toEqual({
      ...fineTunePresets.full,
      ...fineTunePresets.tenth,
      preset: "tenth",
      epochs: 3,
    });
    const unknown = { epoch: 3 } as object;
    expect(() => resolveSettings(unknown)).toThrow('fine-tuning cannot be set so: Unrecognized key: "epoch"');
  });
  it("reach the paper's learning rates", () => {
    const { full, tenth } = fineTunePresets;
    expect((full.learningRate * full.batch) / 256).toBeCloseTo(2e-3);
    expect((tenth.learningRate * 1022) / 256).toBeCloseTo(1.198e-4, 7);
  });
});

describe("what does not fit is said in one sentence", () => {
  const without = (name: string) => ({
    ...subject,
    parameters: new Map([...parameters].filter(([each]) => each !== name)),
  });
  it.each<[string, string, Parameters<typeof fineTune>]>([
    ["one class", "fine-tuning needs two classes or more, but there is 1", [subject, { ...data, classes: ["red"] }]],
    ["one image", "fine-tuning needs two training images or more, but there is 1", [subject, withRows({ train: [0] })]],
    [
      "no validation",
      "fine-tuning chooses the epoch on validation images and needs some to test on, but there are none for validation",
      [subject, withRows({ validation: [] })],
    ],
    [
      "no projector",
      "tuneFromFirstFC goes on from the first layer of a contrastive head (head.0.weight), but this checkpoint has none: " +
        "take a stage trained by contrast (mocov3, simclr, vicreg), or switch tuneFromFirstFC off",
      [subject, data, { tuneFromFirstFC: true }],
    ],
    [
      "too many frozen blocks",
      "the encoder has 2 blocks, so 3 cannot be frozen: set freezeBelow to 2 or less",
      [subject, data, { freezeBelow: 3 }],
    ],
    [
      "no epochs",
      "fine-tuning cannot be set so: epochs: Too small: expected number to be >=1",
      [subject, data, { epochs: 0 }],
    ],
    [
      "no path left",
      "fine-tuning cannot be set so: dropPath: Too big: expected number to be <1",
      [subject, data, { dropPath: 1 }],
    ],
    [
      "an image size between patches",
      "the image size 18 is not a multiple of the patch size 4",
      [subject, data, { imageSize: 18 }],
    ],
    [
      "a view of another size",
      "the view makes images of 16 pixels, but the encoder is to see 8; set imageSize to 16",
      [subject, data, { view: maeView(16) }],
    ],
    [
      "an odd batch of pairs",
      "mixup and cutmix pair the images of a batch and need an even number of them, but it has 7; use an even batch size",
      [subject, data, { ...quick, batch: 7 }],
    ],
    [
      "a checkpoint with a part missing",
      "the encoder needs a tensor norm.bias, but the checkpoint has none",
      [without("norm.bias"), data, quick],
    ],
    [
      "a checkpoint of another size",
      "blocks.0.norm1.weight has the shape [16] here, but float32[24] in the checkpoint",
      [
        {
          ...subject,
          parameters: new Map([...parameters, ["blocks.0.norm1.weight", tensor("float32", [24])] as const]),
        },
        data,
        quick,
      ],
    ],
  ])("%s", async (_, message, args) => {
    await expect(fineTune(...args)).rejects.toThrow(new Error(message));
  });
});
