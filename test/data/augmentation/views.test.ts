import { describe, expect, it } from "vitest";
import {
  centerCrop,
  fineTuneView,
  maeView,
  mocoViews,
  noise,
  shapeOf,
  viewSpec,
} from "../../../src/data/augmentation/views.ts";

describe("views", () => {
  it("are plain data that survive JSON", () => {
    for (const view of [
      maeView(32),
      mocoViews(32).view1,
      mocoViews(32).view2,
      fineTuneView(32),
      centerCrop(32),
      noise(64),
    ])
      expect(viewSpec.parse(JSON.parse(JSON.stringify(view)))).toEqual(view);
  });

  it("carry the paper's constants", () => {
    expect(maeView(224)).toMatchObject({ scale: [0.2, 1], interpolation: "bicubic", flip: 0.5 });
    expect(maeView(224)).not.toHaveProperty("jitter");
    expect(mocoViews(224).view1).toMatchObject({
      scale: [0.08, 1],
      interpolation: "bilinear",
      blur: { probability: 1 },
    });
    expect(fineTuneView(224)).toMatchObject({
      scale: [0.08, 1],
      interpolation: "bicubic",
      flip: 0.5,
      randAugment: { operations: 2, magnitude: 9, deviation: 0.5, probability: 0.5 },
      erase: { probability: 0.25, area: [0.02, 1 / 3], ratio: [0.3, 1 / 0.3] },
    });
    expect(centerCrop(224).resize).toBe(256);
  });

  it("can be changed, and rid of an operation", () => {
    const { view1 } = mocoViews(32, { scale: [0.4, 1], blur: undefined });
    expect(view1.scale).toEqual([0.4, 1]);
    expect(view1.blur).toBeUndefined();
    const milder = fineTuneView(32, { randAugment: { magnitude: 5 }, erase: undefined });
    expect(milder.randAugment).toEqual({ operations: 2, magnitude: 5, deviation: 0.5, probability: 0.5 });
    expect(milder.erase).toBeUndefined();
  });

  it("know the shape of a sample", () => {
    expect(shapeOf(centerCrop(48))).toEqual([3, 48, 48]);
    expect(shapeOf(noise(64))).toEqual([64]);
  });

  it.each([
    [{ kind: "center", size: 32, resize: 16 }, "resize must not be below size"],
    [{ kind: "augment", size: 32, scale: [1, 0.2] }, "the first number must not be above the second"],
    [{ kind: "augment", size: 32, scale: [0.2, 1], blurr: 1 }, "blurr"],
    [{ kind: "augment", size: 32, scale: [0.2, 1], randAugment: { magnitude: 11 } }, "magnitude"],
    [{ kind: "noise", length: 0 }, "length"],
  ])("refuses %j", (view, message) => {
    expect(() => viewSpec.parse(view)).toThrow(message);
  });
});
