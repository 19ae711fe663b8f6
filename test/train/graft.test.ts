import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { encodeSafetensors } from "../../src/tensor/safetensors.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import { readNotes } from "../../src/run/notes.ts";
import { layerRates } from "../../src/graft/layer-rates.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { pretrain } from "../../src/train/pretrain.ts";
import { resolveStages } from "../../src/recipe/stage.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { finalHashes, resumeHere, temporary, tiny, trainHere } from "./tiny.ts";

/** Tensors of a stage's last checkpoint. */
function weights(dir: string, stage: string): ReadonlyMap<string, Tensor> {
  return readCheckpoint(listCheckpoints(dir).findLast((each) => each.stage === stage)!.path).tensors;
}

function distance(a: Tensor, b: Tensor): number {
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  return Math.sqrt(x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0) / x.length);
}

describe("grafting", () => {
  it("starts both encoders where the first stage ended, bit for bit", async () => {
    const out = await trainHere(tiny(), (event) => event.kind === "stage" && event.stage === "cl");
    const mim = weights(out, "mim");
    const cl = weights(out, "cl");
    expect(listCheckpoints(out).at(-1)).toMatchObject({ stage: "cl", step: 0 });
    const encoder = [...mim.keys()].filter((name) => !/decoder|mask_token/.test(name));
    expect(encoder).toContain("pos_embed");
    const grafted = [...cl.keys()].filter((name) => /^base_encoder\.(?!head)/.test(name));
    expect(grafted.sort()).toEqual(encoder.map((name) => `base_encoder.${name}`).sort());
    for (const name of encoder) expect(cl.get(`base_encoder.${name}`)!.data, name).toEqual(mim.get(name)!.data);
    const keys = [...cl.keys()].filter((name) => name.startsWith("momentum_encoder."));
    expect(keys).toHaveLength(grafted.length + [...cl.keys()].filter((n) => n.startsWith("base_encoder.head")).length);
    for (const name of keys) expect(cl.get(name)!.data, name).toEqual(cl.get(name.replace("momentum_", "base_"))!.data);
  });

  it("leaves frozen parameters alone and moves the upper blocks more than the lower ones", async () => {
    const out = await trainHere(tiny());
    const mim = weights(out, "mim");
    const cl = weights(out, "cl");
    const moved = (name: string) => distance(mim.get(name)!, cl.get(`base_encoder.${name}`)!);
    for (const fixed of ["pos_embed", "patch_embed.proj.weight", "patch_embed.proj.bias"]) {
      expect(moved(fixed)).toBe(0);
      // the moving average of a number with itself rounds
      expect(distance(mim.get(fixed)!, cl.get(`momentum_encoder.${fixed}`)!)).toBeLessThan(1e-6);
    }
    expect(moved("blocks.0.mlp.fc1.weight")).toBeGreaterThan(0);
    expect(moved("blocks.1.mlp.fc1.weight")).toBeGreaterThan(4 * moved("blocks.0.mlp.fc1.weight"));
    expect(moved("norm.bias")).toBe(0); // its gradient is exactly zero under batch norm
  });

  it("shows in the learning rate of each layer", () => {
    const { stages } = layerRates(resolveStages(defineRecipe(tiny())));
    const rates = Object.fromEntries(stages[1]!.layers.map(({ layer, rate }) => [layer, rate]));
    expect(rates["block 1"]! / rates["block 0"]!).toBeCloseTo(10);
    expect(rates["head"]).toBe(rates["block 1"]);
    expect(stages[1]!.layers[0]).toMatchObject({ layer: "patches", frozen: true });
  });

  it("gives the same weights in micro-batches, up to rounding", async () => {
    const only = (microBatch: number) => ({ ...tiny(), stages: [tiny({ microBatch }).stages[0]!] });
    const expected = weights(await trainHere(only(8)), "mim");
    const parts = weights(await trainHere(only(2)), "mim");
    expect([...parts.keys()]).toEqual([...expected.keys()]);
    for (const [name, value] of parts) expect(distance(value, expected.get(name)!), name).toBeLessThan(1e-5);
  });
});

describe("starting from given weights", () => {
  const file = join(temporary(), "weights.safetensors");

  it("takes a checkpoint of another run and a plain safetensors file alike", async () => {
    const { path } = listCheckpoints(await trainHere(tiny())).find(({ stage }) => stage === "mim")!;
    writeFileSync(file, Buffer.concat(encodeSafetensors(readCheckpoint(path).tensors)));
    expect(() => readCheckpoint(file)).toThrow("has no sha256");
    const start = (source: string) => {
      const stage = { ...tiny().stages[1]!, init: [{ path: source, to: "base_encoder." }] };
      return trainHere({ ...tiny(), stages: [stage] });
    };
    const [hash] = Object.values(finalHashes(await start(path)));
    expect(Object.values(finalHashes(await start(file)))).toEqual([hash]);
  });

  it("takes the weights of a checkpoint, not its optimizer's memory: that would be resuming", async () => {
    const stage = tiny().stages[0]!;
    const until = (kind: TrainEvent["kind"]) => (event: TrainEvent) => event.kind === kind;
    const other = await trainHere({ ...tiny(), stages: [stage] }, until("checkpoint"));
    const { path } = listCheckpoints(other).at(-1)!;
    const out = await trainHere({ ...tiny({ seed: 1 }), stages: [{ ...stage, init: [{ path }] }] }, until("stage"));
    const before = readCheckpoint(path).tensors;
    for (const [name, { data }] of weights(out, "mim"))
      if (name.startsWith("optimizer.")) expect(Math.max(...(data as Float32Array).map(Math.abs)), name).toBe(0);
      else expect(data, name).toEqual(before.get(name)!.data);
  });

  it.each([
    ["no file", undefined, `stage mim cannot start from ${file}: there is no such file`],
    ["no tensor that fits", ["nothing", [2]], `stage mim cannot start from ${file}: it has no tensor that fits`],
    [
      "a tensor of another shape",
      ["cls_token", [1, 1, 32]],
      `stage mim cannot start from ${file}: cls_token has the shape [1,1,16] here, but float32[1,1,32] in the checkpoint`,
    ],
  ] as const)("says what is wrong with %s", async (_, tensor, message) => {
    rmSync(file, { force: true });
    if (tensor !== undefined) {
      const [name, shape] = tensor;
      const data = new Float32Array(shape.reduce((a: number, b) => a * b, 1));
      writeFileSync(file, Buffer.concat(encodeSafetensors(new Map([[name, { dtype: "float32", shape, data }]]))));
    }
    const stage = { ...tiny().stages[0]!, init: [{ path: file }] };
    await expect(trainHere({ ...tiny(), stages: [stage] })).rejects.toThrow(message);
  });

  it("needs the file no more once the stage has begun", async () => {
    const stage = tiny().stages[0]!;
    const other = await trainHere({ ...tiny(), stages: [stage] });
    renameSync(listCheckpoints(other).at(-1)!.path, file);
    const recipe = { ...tiny(), stages: [{ ...stage, init: [{ path: file }] }] };
    const out = await trainHere(recipe, (event) => event.kind === "step" && event.row.step === 5);
    rmSync(file);
    expect((await resumeHere(out)).at(-1)).toEqual({ kind: "done", finished: true });
  });

  it("looks for the file of a later stage before the first one begins", async () => {
    const [mim, cl] = tiny().stages;
    const later = { ...cl!, init: [{ path: join(temporary(), "none"), to: "base_encoder." }] };
    const kinds: string[] = [];
    const until = ({ kind }: TrainEvent) => kinds.push(kind) < 0;
    await expect(trainHere({ ...tiny(), stages: [mim!, later] }, until)).rejects.toThrow(/^stage cl cannot start from/);
    expect(kinds).toEqual(["started"]);
  });
});

describe("trouble", () => {
  it("stops at a loss that is not finite, names stage and step and keeps the earlier checkpoints", async () => {
    const [mim, cl] = tiny().stages;
    const out = join(temporary(), "run");
    const recipe = { ...tiny(), stages: [mim!, { ...cl!, learningRate: 1e38 }] };
    await expect(pretrain({ recipe, out })).rejects.toThrow(
      /^stage cl stopped at step \d+ of 12: the (loss|gradient) is not finite \(.*\); the checkpoints before it are whole\. Start again with a lower learning rate \(now 1e\+38\)/,
    );
    expect(readNotes(out).warnings).toEqual([expect.stringMatching(/^stage cl stopped .* is not finite/)]);
    const [first, ...more] = listCheckpoints(out)
      .toReversed()
      .toSorted((a, b) => Number(b.final) - Number(a.final));
    expect(first).toMatchObject({ stage: "mim", step: 12, final: true });
    for (const { path } of [first!, ...more]) expect(() => readCheckpoint(path)).not.toThrow();
  });

  it("refuses a folder that holds a run", async () => {
    const out = join(temporary(), "run");
    mkdirSync(out);
    writeFileSync(join(out, "recipe.json"), "{}");
    await expect(pretrain({ recipe: tiny(), out })).rejects.toThrow(/already holds a run; resume it/);
  });

  it("refuses a batch larger than the data set before the first step, whichever stage has it, and frees the folder", async () => {
    const [mim, cl] = tiny().stages;
    const out = join(temporary(), "run");
    const recipe = { ...tiny(), stages: [mim!, { ...cl!, batch: 64, microBatch: 64 }] };
    const kinds: string[] = [];
    const onEvent = ({ kind }: TrainEvent) => kinds.push(kind);
    await expect(pretrain({ recipe, out, onEvent })).rejects.toThrow(
      "a batch of 64 is larger than the data set of 48 images: set batch to 48 or less, or add images",
    );
    expect(kinds).toEqual(["started"]);
    expect((await pretrain({ recipe: tiny(), out, signal: AbortSignal.abort() })).finished).toBe(false);
  });

  it("skips images it cannot read, names each once and goes on", async () => {
    const folder = temporary();
    for (let i = 0; i < 46; i++)
      await sharp({ create: { width: 20, height: 20, channels: 3, background: { r: 5 * i, g: 90, b: 200 } } })
        .png()
        .toFile(join(folder, `${i}.png`));
    const broken = ["12 broken.png", "30 broken.png", "broken.png"];
    for (const name of broken) writeFileSync(join(folder, name), "not an image");
    const told: string[] = [];
    const tell = (event: TrainEvent) => event.kind === "note" && told.push(event.text) < 0;
    const out = await trainHere({ ...tiny(), data: { kind: "folder", path: folder } }, tell);
    expect(told.toSorted()).toEqual(broken.map((name) => expect.stringMatching(`^skipped ${name}: .*${name}`)));
    expect(
      readNotes(out)
        .skipped.map(({ path }) => path)
        .toSorted(),
    ).toEqual(broken);
  });

  it("fails when too many images cannot be read", async () => {
    const folder = temporary();
    for (let i = 0; i < 30; i++) writeFileSync(join(folder, `${i}.png`), "not an image");
    const recipe = { ...tiny(), data: { kind: "folder" as const, path: folder } };
    await expect(pretrain({ recipe, out: join(temporary(), "run") })).rejects.toThrow(
      /^at least \d+ of 30 images cannot be read, more than the 10 % allowed; the first: .*\.png: .*--max-bad-share 0\.3$/,
    );
  });
});
