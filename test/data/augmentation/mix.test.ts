import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { applyMixing, cut, drawMixing, mix, type MixOptions } from "../../../src/data/augmentation/mix.ts";
import type { Box } from "../../../src/data/source.ts";
import { type Tensor, tensor } from "../../../src/tensor/tensor.ts";
import { expectAllclose, floats, randomFor } from "../../helpers.ts";

// Mixed images and targets of PyTorch (reference/make_mix_reference.py).
const fixture = JSON.parse(readFileSync("test/fixtures/mix.json", "utf8")) as {
  shape: [number, number, number, number];
  classes: number;
  labels: number[];
  cases: {
    lambda: number;
    smoothing: number;
    center?: [number, number];
    box?: [number, number, number, number];
    corrected?: number;
    targets: number[];
    images: number[];
  }[];
};
const [, , height, width] = fixture.shape;

function fixtureImages(): Tensor<"float32"> {
  const images = tensor("float32", fixture.shape);
  for (let i = 0; i < images.data.length; i++) images.data[i] = (((i * 37) % 101) - 50) / 32;
  return images;
}

const paper: MixOptions = { classes: 5, smoothing: 0.1, mixup: 0.8, cutmix: 1, probability: 1, switch: 0.5 };

describe("mixing against PyTorch", () => {
  it.each(fixture.cases.map((c) => [c.lambda, c.center ?? "no box", c] as const))("lambda %f, %j", (_l, _c, c) => {
    const mixing = c.center === undefined ? { lambda: c.lambda } : cut(c.lambda, ...c.center, width, height);
    if (c.box !== undefined) {
      const [left, top, boxWidth, boxHeight] = c.box;
      expect(mixing.box).toEqual<Box>({ left, top, width: boxWidth, height: boxHeight });
      expect(mixing.lambda).toBeCloseTo(c.corrected!, 12);
    }
    const images = fixtureImages();
    const targets = applyMixing(images, fixture.labels, { ...paper, smoothing: c.smoothing }, mixing);
    expectAllclose(images.data, c.images, { absolute: 1e-5, relative: 0 });
    expectAllclose(targets.data, c.targets, { absolute: 1e-6, relative: 0 });
    expect(targets.shape).toEqual([fixture.labels.length, fixture.classes]);
  });
});

describe("mix", () => {
  it("only smooths the labels where nothing is mixed", () => {
    const images = floats([1, 3, 1, 1], [1, 2, 3]);
    const targets = mix(images, [2], { ...paper, mixup: 0, cutmix: 0 }, randomFor("off"));
    expect([...images.data]).toEqual([1, 2, 3]);
    expectAllclose(targets.data, [0.02, 0.02, 0.92, 0.02, 0.02]);
  });

  it("keeps every target's sum at 1, whatever it draws", () => {
    for (let i = 0; i < 50; i++) {
      const { data } = mix(fixtureImages(), fixture.labels, paper, randomFor("sum", i));
      for (let row = 0; row < 4; row++)
        expect(data.subarray(row * 5, row * 5 + 5).reduce((sum, x) => sum + x, 0)).toBeCloseTo(1, 6);
    }
  });

  it("draws as often as asked, and lambda from its distribution", () => {
    const count = 8000;
    const many = (options: Partial<MixOptions>) => {
      const random = randomFor("draws", JSON.stringify(options));
      return Array.from({ length: count }, () => drawMixing({ ...paper, ...options }, random, 64, 64));
    };
    const share = (options: Partial<MixOptions>, test: (mixing: ReturnType<typeof drawMixing>) => boolean) =>
      many(options).filter(test).length / count;
    expect(share({}, ({ box }) => box !== undefined)).toBeCloseTo(0.5, 1);
    expect(share({ switch: 0.2 }, ({ box }) => box !== undefined)).toBeCloseTo(0.2, 1);
    expect(share({ cutmix: 0 }, ({ box }) => box !== undefined)).toBe(0);
    expect(share({ mixup: 0 }, ({ box }) => box !== undefined)).toBe(1);
    expect(share({ probability: 0.3 }, ({ lambda }) => lambda < 1)).toBeCloseTo(0.3, 1);

    const lambdas = many({ cutmix: 0 }).map(({ lambda }) => lambda);
    const mean = lambdas.reduce((sum, x) => sum + x, 0) / count;
    const variance = lambdas.reduce((sum, x) => sum + (x - mean) ** 2, 0) / count;
    expect(Math.abs(mean - 0.5)).toBeLessThan(0.015);
    expect(variance).toBeCloseTo(1 / (4 * 2.6), 2);
  });

  it("cuts boxes that lie within the image", () => {
    const random = randomFor("boxes");
    for (let i = 0; i < 500; i++) {
      const { lambda, box } = drawMixing({ ...paper, mixup: 0 }, random, 9, 7);
      const { left, top, width, height } = box!;
      expect(left >= 0 && top >= 0 && left + width <= 9 && top + height <= 7).toBe(true);
      expect(lambda).toBeCloseTo(1 - (width * height) / 63, 12);
    }
  });

  it("says what it cannot do", () => {
    expect(() => mix(tensor("float32", [3, 3, 2, 2]), [0, 1, 2], paper, randomFor("odd"))).toThrow(
      "mixup and cutmix pair the images of a batch and need an even number of them, but it has 3; use an even batch size",
    );
    const two = () => tensor("float32", [2, 3, 2, 2]);
    expect(() => mix(two(), [0], paper, randomFor("few"))).toThrow("a batch of 2 images needs as many labels");
    expect(() => mix(two(), [0, 5], paper, randomFor("label"))).toThrow("from 0 to 4, but one is 5");
  });
});
