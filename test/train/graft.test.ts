import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { describe, expect, it } from "vitest";
import { encodeSafetensors } from "../../src/tensor/safetensors.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import { readNotes } from "../../src/run/notes.ts";
import { layerRates } from "../../src/train/layer-rates.ts";
import type { TrainEvent } from "../../src/train/loop.ts";
import { pretrain } from "../../src/train/pretrain.ts";
import { defineRecipe } from "../../src/train/recipe.ts";
import { finalHashes, temporary, tiny } from "./tiny.ts";

/** Tensors of a stage's last checkpoint. */
function weights(dir: string, stage: string): ReadonlyMap<string, Tensor> {
  return readCheckpoint(listCheckpoints(dir).findLast((each) => each.stage === stage)!.path).tensors;
}

function distance(a: Tensor, b: Tensor): number {
  const [x, y] = [a.data as Float32Array, b.data as Float32Array];
  return Math.sqrt(x.reduce((sum, value, i) => sum + (value - y[i]!) ** 2, 0) / x.length);
}

describe("grafting", () => {
  it("starts both encoders from the first stage and moves the upper blocks more than the lower ones", async () => {
    const out = join(temporary(), "run");
    await pretrain({ recipe: tiny(), out });
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

  it("copies the grafted weights to the momentum encoder before the first step", async () => {
    const recipe = tiny();
    const out = join(temporary(), "run");
    const still = { ...recipe.stages[1]!, epochs: 0.17, warmup: 0.1, learningRate: 1e-12 };
    await pretrain({ recipe: { ...recipe, stages: [recipe.stages[0]!, still] }, out });
    const mim = weights(out, "mim");
    const cl = weights(out, "cl");
    for (const [name, value] of mim)
      if (!/decoder|mask_token/.test(name)) {
        expect(distance(value, cl.get(`base_encoder.${name}`)!)).toBeLessThan(1e-6);
        expect(distance(value, cl.get(`momentum_encoder.${name}`)!)).toBeLessThan(1e-6);
      }
  });

  it("shows in the learning rate of each layer", () => {
    const { stages } = layerRates(defineRecipe(tiny()));
    const rates = Object.fromEntries(stages[1]!.layers.map(({ layer, rate }) => [layer, rate]));
    expect(rates["block 1"]! / rates["block 0"]!).toBeCloseTo(10);
    expect(rates["head"]).toBe(rates["block 1"]);
    expect(stages[1]!.layers[0]).toMatchObject({ layer: "patches", frozen: true });
  });

  it("gives the same weights in micro-batches, up to rounding", async () => {
    const [whole, parts] = [join(temporary(), "run"), join(temporary(), "run")];
    const only = (microBatch: number) => ({ ...tiny(), stages: [tiny({ microBatch }).stages[0]!] });
    await pretrain({ recipe: only(8), out: whole });
    await pretrain({ recipe: only(2), out: parts });
    const expected = weights(whole, "mim");
    for (const [name, value] of weights(parts, "mim")) expect(distance(value, expected.get(name)!)).toBeLessThan(1e-4);
  });
});

describe("starting from given weights", () => {
  it("takes a checkpoint of another run and a plain safetensors file alike", async () => {
    const first = join(temporary(), "run");
    await pretrain({ recipe: tiny(), out: first });
    const { path } = listCheckpoints(first).find(({ stage }) => stage === "mim")!;
    const plain = join(temporary(), "plain.safetensors");
    writeFileSync(plain, Buffer.concat(encodeSafetensors(readCheckpoint(path).tensors)));
    const hashes = [];
    for (const source of [path, plain]) {
      const out = join(temporary(), "run");
      const stage = { ...tiny().stages[1]!, init: [{ path: source, to: "base_encoder." }] };
      await pretrain({ recipe: { ...tiny(), stages: [stage] }, out });
      hashes.push(Object.values(finalHashes(out))[0]);
    }
    expect(hashes[0]).toBe(hashes[1]);
  });

  it("says what is wrong with a file that does not fit", async () => {
    const file = join(temporary(), "other.safetensors");
    const tensors = (name: string, shape: number[]) =>
      new Map([[name, { dtype: "float32" as const, shape, data: new Float32Array(shape.reduce((a, b) => a * b)) }]]);
    const start = (path: string) => {
      const stage = { ...tiny().stages[0]!, init: [{ path }] };
      return pretrain({ recipe: { ...tiny(), stages: [stage] }, out: join(temporary(), "run") });
    };
    writeFileSync(file, Buffer.concat(encodeSafetensors(tensors("nothing", [2]))));
    await expect(start(file)).rejects.toThrow(/has no tensor that stage mim can start from/);
    writeFileSync(file, Buffer.concat(encodeSafetensors(tensors("cls_token", [1, 1, 32]))));
    await expect(start(file)).rejects.toThrow(
      "cls_token has the shape [1,1,16] here, but float32[1,1,32] in the checkpoint",
    );
  });
});

describe("trouble", () => {
  it("stops at a loss that is not finite, names the step and keeps the earlier checkpoints", async () => {
    const out = join(temporary(), "run");
    const run = pretrain({ recipe: tiny({ learningRate: 1e38 }), out });
    await expect(run).rejects.toThrow(
      /^stage mim stopped at step \d+ of 12: the (loss|gradient) is not finite .*lower learning rate/,
    );
    for (const { path } of listCheckpoints(out)) expect(() => readCheckpoint(path)).not.toThrow();
  });

  it("refuses a folder that holds a run", async () => {
    const out = join(temporary(), "run");
    mkdirSync(out);
    writeFileSync(join(out, "recipe.json"), "{}");
    await expect(pretrain({ recipe: tiny(), out })).rejects.toThrow(/already holds a run; resume it/);
  });

  it("refuses a batch larger than the data set", async () => {
    const recipe = { ...tiny(), data: { kind: "synthetic" as const, length: 4, size: 16 } };
    await expect(pretrain({ recipe, out: join(temporary(), "run") })).rejects.toThrow(
      /batch of 8 is larger than the data set of 4/,
    );
  });

  it("skips an image it cannot read, names it once and goes on", async () => {
    const folder = temporary();
    for (let i = 0; i < 40; i++)
      await sharp({ create: { width: 20, height: 20, channels: 3, background: { r: 6 * i, g: 90, b: 200 } } })
        .png()
        .toFile(join(folder, `${i}.png`));
    writeFileSync(join(folder, "broken.png"), "not an image");
    const out = join(temporary(), "run");
    const notes: string[] = [];
    const onEvent = (event: TrainEvent) => event.kind === "note" && notes.push(event.text);
    const recipe = { ...tiny(), data: { kind: "folder" as const, path: folder }, stages: [tiny().stages[0]!] };
    expect((await pretrain({ recipe, out, onEvent })).finished).toBe(true);
    expect(notes.filter((text) => text.includes("broken.png"))).toHaveLength(1);
    expect(readNotes(out).skipped.map(({ path }) => path)).toEqual(["broken.png"]);
  });

  it("fails when too many images cannot be read", async () => {
    const folder = temporary();
    for (let i = 0; i < 30; i++) writeFileSync(join(folder, `${i}.png`), "not an image");
    const recipe = { ...tiny(), data: { kind: "folder" as const, path: folder } };
    await expect(pretrain({ recipe, out: join(temporary(), "run") })).rejects.toThrow(
      /cannot be read|could not be read|unreadable/,
    );
  });
});
