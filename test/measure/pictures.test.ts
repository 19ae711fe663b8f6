import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { decode } from "../../src/data/formats/decode.ts";
import { encodePng } from "../../src/data/formats/png.ts";
import type { Pixels } from "../../src/data/source.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { method } from "../../src/methods/methods.ts";
import { drawPictures } from "../../src/measure/pictures.ts";
import { readSamples, type Samples } from "../../src/run/samples.ts";
import { pretrain } from "../../src/train/pretrain.ts";

const model = { imageSize: 16, patchSize: 4, width: 24, depth: 3, heads: 2 };
let folder: string;
let run: string;
let samples: Samples;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "layergraft-test-"));
  run = join(folder, "run");
  const images = join(folder, "images");
  mkdirSync(images);
  const drawings = await openSource({ kind: "synthetic", length: 12, size: 16 });
  for (let i = 0; i < 12; i++) writeFileSync(join(images, `${i}.png`), await encodePng(await drawings.load(i)));
  writeFileSync(join(images, "broken.jpg"), "broken");
  const stage = { epochs: 2, batch: 6, learningRate: 1e-3 };
  const recipe = method("layer-grafted", {
    data: { kind: "folder", path: images },
    model,
    resize: 16,
    mim: stage,
    cl: { ...stage, mlpDim: 16, dim: 8 },
  });
  await pretrain({ recipe: { ...recipe, threads: 1 }, out: run });
  await drawPictures(run);
  samples = readSamples(run);
});
afterAll(() => rmSync(folder, { recursive: true }));

const picture = (name: string) => decode(join(run, "samples", name));

describe("reconstructions", () => {
  it("show eight readable images, of which a quarter of the patches is left", async () => {
    const { items, stage } = samples.reconstructions!;
    expect(stage).toBe("mim");
    expect(items).toHaveLength(8);
    expect(items.map(({ id }) => id)).not.toContain("broken.jpg");
    for (const item of items) {
      const [input, masked, guessed] = [
        await picture(item.input),
        await picture(item.masked),
        await picture(item.reconstructed),
      ];
      expect(patchesAlike(input, masked)).toBeGreaterThanOrEqual(4);
      expect(patchesAlike(input, masked)).toBeLessThan(8); // 4 are seen, and a grey one may look like the mask
      expect(patchesAlike(input, guessed)).toBeGreaterThanOrEqual(4); // what is seen is not guessed
    }
  });
});

describe("neighbours", () => {
  it("are five others for every query and encoder, most alike first", () => {
    const { encoders, queries } = samples.neighbours!;
    expect(encoders.map(({ name }) => name)).toEqual(["random", "pixels", "mim", "cl"]);
    expect(queries).toHaveLength(8);
    for (const { id, results } of queries)
      for (const { name } of encoders) {
        const found = results[name]!;
        expect(found).toHaveLength(5);
        expect(new Set([id, "broken.jpg", ...found.map((each) => each.id)]).size).toBe(7);
        const similarities = found.map(({ similarity }) => similarity!);
        expect(similarities).toEqual(similarities.toSorted((a, b) => b - a));
        for (const { image, hit } of found) {
          expect(existsSync(join(run, "samples", image))).toBe(true);
          expect(hit).toBeUndefined(); // there are no classes
        }
      }
  });

  it("are drawn alike a second time", async () => {
    await drawPictures(run);
    expect(readSamples(run)).toEqual(samples);
  });
});

/** How many of the sixteen 4 × 4 patches are the same in both, up to rounding. */
function patchesAlike(a: Pixels, b: Pixels): number {
  let count = 0;
  for (let patch = 0; patch < 16; patch++) {
    let same = true;
    for (let y = 0; y < 4; y++)
      for (let x = 0; x < 12; x++) {
        const at = (4 * Math.floor(patch / 4) + y) * 48 + 12 * (patch % 4) + x;
        if (Math.abs(a.data[at]! - b.data[at]!) > 1) same = false;
      }
    count += Number(same);
  }
  return count;
}
