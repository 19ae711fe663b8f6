import { describe, expect, it } from "vitest";
import { automatic, type AutomaticOptions } from "../../src/methods/automatic.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";

const choose = (options: Partial<AutomaticOptions> & { images: number; shortSide: number }) =>
  defineRecipe(automatic({ data: { kind: "folder", path: "photos" }, ...options }));

describe("automatic", () => {
  it.each([
    ["thumbnails, five minutes", 27_000, 64, 0.08, { imageSize: 64, patchSize: 16, width: 96 }],
    ["thumbnails, an hour", 27_000, 64, 1, { imageSize: 64, patchSize: 8, width: 96 }],
    ["thumbnails, a night", 27_000, 64, 10, { imageSize: 64, patchSize: 8, width: 192 }],
    ["tiny images, five minutes", 5000, 32, 0.08, { imageSize: 32, patchSize: 8, width: 96 }],
    ["tiny images, an hour", 5000, 32, 1, { imageSize: 32, patchSize: 4, width: 96 }],
    ["small images in no fewer than sixteen patches", 200, 48, 1, { imageSize: 48, patchSize: 8, width: 64 }],
    ["photos, two minutes", 5000, 500, 0.03, { imageSize: 64, patchSize: 16, width: 64 }],
    ["photos, an hour", 5000, 500, 1, { imageSize: 128, patchSize: 16, width: 96 }],
    ["photos, a night", 5000, 500, 10, { imageSize: 160, patchSize: 16, width: 192 }],
    ["many photos, a week", 200_000, 500, 168, { imageSize: 224, patchSize: 16, width: 384 }],
    ["many small photos, a week", 200_000, 100, 168, { imageSize: 96, patchSize: 16, width: 384 }],
    ["photos too few for more", 200, 500, 10, { imageSize: 64, patchSize: 16, width: 64 }],
  ])("chooses a model that sees enough images in the time: %s", (_, images, shortSide, hours, model) => {
    expect(choose({ images, shortSide, hours, speed: 1e11 }).model).toMatchObject(model);
  });

  it("takes a smaller model where more epochs are asked for", () => {
    const options = { images: 5000, shortSide: 500, hours: 1, speed: 1e11 };
    expect(choose({ ...options, epochs: { mim: 5, cl: 5 } }).model.width).toBe(192);
    expect(choose({ ...options, epochs: { mim: 300, cl: 300 } }).model.width).toBe(96);
  });

  const grid = [2, 3, 10, 100, 999, 20_000, 1_000_000].flatMap((images) =>
    [8, 32, 33, 80, 81, 150, 224, 4000].map((shortSide) => [images, shortSide] as const),
  );
  it.each(grid)("always fits: %i images of %i pixels", (images, shortSide) => {
    const { model, stages } = choose({ images, shortSide });
    expect(model.imageSize % model.patchSize).toBe(0);
    for (const stage of stages) {
      expect(stage.batch).toBeLessThanOrEqual(images);
      expect(stage.batch).toBeGreaterThan(1);
      expect(stage.batch % stage.microBatch).toBe(0);
      expect(stage.epochs).toBeGreaterThanOrEqual(1);
      expect(stage.epochs).toBeLessThanOrEqual(300);
    }
    expect(stages[1]!.microBatch).toBe(stages[1]!.batch); // one pass is cheaper than two
  });

  it("cuts a batch that memory does not hold", () => {
    const [mim, cl] = choose({ images: 100_000, shortSide: 400, model: "vit-base/16", batch: 4096 }).stages;
    expect([mim!.batch, cl!.batch]).toEqual([4096, 4096]);
    expect([mim!.microBatch, cl!.microBatch]).toEqual([32, 4]);
  });

  it("counts the tokens that the encoder sees", () => {
    const options = { images: 100_000, shortSide: 400, model: "vit-base/16", batch: 256, method: "mim" } as const;
    const sizeFor = (mim: NonNullable<AutomaticOptions["mim"]>) => choose({ ...options, mim }).stages[0]!.microBatch;
    // of 196 patches a quarter, half and all
    expect([sizeFor({}), sizeFor({ maskRatio: 0.5 }), sizeFor({ objective: "simmim" })]).toEqual([32, 16, 8]);
    expect(sizeFor({ maskRatio: 0.5, microBatch: 4 })).toBe(4);
  });

  it("keeps what is asked for", () => {
    const recipe = choose({
      images: 1000,
      shortSide: 400,
      model: "vit-small/16",
      imageSize: 64,
      patchSize: 8,
      batch: 12,
      learningRate: 3e-4,
      epochs: { mim: 7, cl: 3 },
      seed: 5,
    });
    expect(recipe.model).toMatchObject({ imageSize: 64, patchSize: 8, width: 384 });
    expect(recipe.seed).toBe(5);
    expect(recipe.stages.map(({ epochs, batch, learningRate }) => [epochs, batch, learningRate])).toEqual([
      [7, 12, 3e-4],
      [3, 12, 3e-4],
    ]);
  });

  it("spends more epochs when there is more time", () => {
    const epochs = (hours: number) => choose({ images: 5000, shortSide: 300, hours, speed: 1e11 }).stages[0]!.epochs;
    expect(epochs(1.5)).toBeGreaterThan(1.4 * epochs(1));
  });

  it("decodes no more than the model can use", () => {
    const model = "vit-tiny/16";
    expect(choose({ images: 1000, shortSide: 4000, model }).data).toMatchObject({ shortSide: 448 });
  });

  it("says what is wrong", () => {
    const images = { images: 1000, shortSide: 300 };
    expect(() => choose({ ...images, model: "vit-huge" })).toThrow(
      /^there is no model vit-huge; available: vit-micro, vit-tiny\/8, /,
    );
    expect(() => choose({ ...images, imageSize: 100 })).toThrow("100 is not a multiple of the patch size 16");
    expect(() => choose({ images: 1, shortSide: 300 })).toThrow("needs at least 2 images");
  });
});
