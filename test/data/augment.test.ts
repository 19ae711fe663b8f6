import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { apply, augment } from "../../src/data/augment.ts";
import type { Box, Operation, Plan } from "../../src/data/plan.ts";
import type { Pixels } from "../../src/data/source.ts";
import { centerCrop, type ImageView, noise } from "../../src/data/views.ts";
import { key, Random } from "../../src/tensor/random.ts";

interface Case {
  op: string;
  factor?: number;
  shift?: number;
  threshold?: number;
  radius?: number;
  box?: [number, number, number, number];
  width?: number;
  height?: number;
  filter?: "bilinear" | "bicubic";
  result: { width: number; height: number; data: number[] };
}

// Results of PIL, 8 bits a channel (reference/).
const fixture = JSON.parse(readFileSync("test/fixtures/augment.json", "utf8")) as {
  image: { width: number; height: number; data: number[] };
  cases: Case[];
};
const image: Pixels = { ...fixture.image, data: Uint8Array.from(fixture.image.data) };
const plain: Pick<ImageView, "mean" | "std"> = { mean: [0, 0, 0], std: [1, 1, 1] };

/** What the kernel makes of `pixels`, as interleaved levels 0 … 255. */
function levels(pixels: Pixels, changes: Partial<Plan> & { width?: number; height?: number }): number[] {
  const { width = pixels.width, height = pixels.height, ...rest } = changes;
  const whole: Box = { left: 0, top: 0, width: pixels.width, height: pixels.height };
  const plan: Plan = {
    crop: whole,
    resize: { width, height },
    window: { left: 0, top: 0, width, height },
    interpolation: "bilinear",
    flip: false,
    operations: [],
    ...rest,
  };
  const out = new Float32Array(3 * width * height);
  apply(pixels, plan, plain, out);
  return Array.from({ length: out.length }, (_, i) => out[(i % 3) * width * height + Math.floor(i / 3)]! * 255);
}

function largestDifference(a: readonly number[], b: readonly number[]): number {
  expect(a.length).toBe(b.length);
  return a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), 0);
}

function operationOf({ op, factor, shift, threshold, radius }: Case): Operation | undefined {
  if (op === "brightness" || op === "contrast" || op === "saturation") return { op, factor: factor! };
  if (op === "hue") return { op, turn: shift! };
  if (op === "blur") return { op, sigma: radius! };
  if (op === "solarize") return { op, threshold: threshold! };
  return op === "grayscale" ? { op } : undefined;
}

// PIL rounds to 8 bits after each operation and pass (a blur has six). It also rounds the hue down to 256 steps and the turn to whole
// steps, which moves a saturated colour by up to 6 levels each.
const tolerances: Record<string, number> = { blur: 3, hue: 12 };

describe("augmentation against PIL", () => {
  it.each(fixture.cases.map((c) => [JSON.stringify({ ...c, result: undefined }), c] as const))("%s", (_, c) => {
    const operation = operationOf(c);
    const [left, top, right, bottom] = c.box ?? [0, 0, image.width, image.height];
    const result = levels(image, {
      operations: operation === undefined ? [] : [operation],
      flip: c.op === "flip",
      crop: { left, top, width: right - left, height: bottom - top },
      interpolation: c.filter ?? "bilinear",
      width: c.result.width,
      height: c.result.height,
    });
    expect(largestDifference(result, c.result.data)).toBeLessThan(tolerances[c.op] ?? 1.5);
  });
});

describe("augment", () => {
  it("leaves an image as it is when nothing is asked of it, whatever its size", () => {
    for (const [width, height] of [
      [1, 1],
      [5, 3],
      [7, 2],
      [33, 17],
    ] as const) {
      const random = new Random(key(width));
      const data = Uint8Array.from({ length: width * height * 3 }, () => random.integer(256));
      expect(largestDifference(levels({ width, height, data }, {}), [...data])).toBeLessThan(1e-3);
    }
  });

  it("blurs a dot to a mean of its own and a variance of sigma²", () => {
    const size = 31;
    const data = new Uint8Array(size * size * 3);
    data.fill(255, (15 * size + 15) * 3, (15 * size + 15) * 3 + 3);
    const blurred = levels({ width: size, height: size, data }, { operations: [{ op: "blur", sigma: 2 }] });
    let sum = 0;
    let variance = 0;
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++) {
        sum += blurred[(y * size + x) * 3]!;
        variance += blurred[(y * size + x) * 3]! * (x - 15) ** 2;
      }
    expect(sum).toBeCloseTo(255, 2);
    expect(variance / sum).toBeCloseTo(4, 2);
  });

  it("blurs a plain image to itself, also when the window is larger than the image", () => {
    const data = new Uint8Array(3 * 2 * 3).fill(90);
    const result = levels({ width: 3, height: 2, data }, { operations: [{ op: "blur", sigma: 4 }] });
    expect(largestDifference(result, [...data])).toBeLessThan(1e-3);
  });

  it("turns the hue of pure colours exactly, and a full turn changes nothing", () => {
    const red: Pixels = { width: 1, height: 1, data: Uint8Array.of(200, 0, 0) };
    const turned = levels(red, { operations: [{ op: "hue", turn: 1 / 3 }] });
    expect(largestDifference(turned, [0, 200, 0])).toBeLessThan(0.01);
    const full = levels(image, {
      operations: [
        { op: "hue", turn: 0.5 },
        { op: "hue", turn: 0.5 },
      ],
    });
    expect(largestDifference(full, [...image.data])).toBeLessThan(0.01);
  });

  it("normalises to (value / 255 - mean) / std, channel by channel", () => {
    const data = Uint8Array.of(51, 102, 204, 51, 102, 204, 51, 102, 204, 51, 102, 204);
    const out = new Float32Array(12);
    const view = centerCrop(2, { resize: 2, mean: [0.1, 0.2, 0.3], std: [1, 0.5, 0.25] });
    augment({ width: 2, height: 2, data }, view, new Random(key(0)), out);
    const expected = [0.1, 0.1, 0.1, 0.1, 0.4, 0.4, 0.4, 0.4, 2, 2, 2, 2];
    expect(largestDifference([...out], expected)).toBeLessThan(1e-6);
  });

  it("cuts the middle out of a resized image", () => {
    // 8 × 4, columns of one colour each: resized to the same size, the middle 4 columns stay.
    const data = Uint8Array.from({ length: 8 * 4 * 3 }, (_, i) => (Math.floor(i / 3) % 8) * 30);
    const out = new Float32Array(48);
    const view = centerCrop(4, { resize: 4, mean: [0, 0, 0], std: [1, 1, 1] });
    augment({ width: 8, height: 4, data }, view, new Random(key(0)), out);
    expect([...out.subarray(0, 4)].map((x) => Math.round(x * 255))).toEqual([60, 90, 120, 150]);
  });

  it("draws noise below 1, without looking at the image", () => {
    const out = new Float32Array(10_000);
    augment({ width: 0, height: 0, data: new Uint8Array(0) }, noise(10_000), new Random(key(5)), out);
    expect(Math.max(...out)).toBeLessThan(1);
    expect(Math.min(...out)).toBeGreaterThanOrEqual(0);
    expect(out.reduce((sum, x) => sum + x, 0) / out.length).toBeCloseTo(0.5, 1);
  });

  it("says how much room a sample needs", () => {
    expect(() => augment(image, centerCrop(4), new Random(key(0)), new Float32Array(3))).toThrow(
      "a sample of this view has 48 floats, but there is room for 3",
    );
  });
});
