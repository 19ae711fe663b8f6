import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { apply, augment } from "../../../src/data/augmentation/augment.ts";
import type { Matrix, Operation, Transform } from "../../../src/data/augmentation/transform.ts";
import type { Box } from "../../../src/data/source.ts";
import { rotation } from "../../../src/data/augmentation/rand-augment.ts";
import type { Pixels } from "../../../src/data/source.ts";
import { centerCrop, type ImageView, noise } from "../../../src/data/augmentation/views.ts";
import { type Key, key, Random } from "../../../src/tensor/random.ts";

interface Case {
  op: string;
  factor?: number;
  shift?: number;
  threshold?: number;
  radius?: number;
  bits?: number;
  amount?: number;
  /** Degrees. */
  rotate?: number;
  matrix?: Matrix;
  fill?: [number, number, number];
  /** How many copies of the image lay below one another, and so do those of the result. */
  times?: number;
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
function levels(pixels: Pixels, changes: Partial<Transform> & { width?: number; height?: number }): number[] {
  const { width = pixels.width, height = pixels.height, ...rest } = changes;
  const whole: Box = { left: 0, top: 0, width: pixels.width, height: pixels.height };
  const plan: Transform = {
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

function operationOf(c: Case): Operation | undefined {
  switch (c.op) {
    case "brightness":
    case "contrast":
    case "saturation":
    case "sharpness":
      return { op: c.op, factor: c.factor! };
    case "autocontrast":
    case "equalize":
    case "invert":
    case "grayscale":
      return { op: c.op };
    case "hue":
      return { op: c.op, turn: c.shift! };
    case "blur":
      return { op: c.op, sigma: c.radius! };
    case "solarize":
      return { op: c.op, threshold: c.threshold! };
    case "solarizeAdd":
      return { op: c.op, amount: c.amount! };
    case "posterize":
      return { op: c.op, bits: c.bits! };
    case "affine":
      return { op: c.op, matrix: c.matrix ?? rotation(c.rotate!, c.result.width), fill: c.fill! };
    default:
      return undefined;
  }
}

function repeat(numbers: Iterable<number>, times: number): number[] {
  return Array.from({ length: times }, () => [...numbers]).flat();
}

// PIL rounds to 8 bits after each operation and pass (a blur has six). It also rounds the hue down to 256 steps and the
// turn to whole steps, which moves a saturated colour by up to 6 levels each.
const tolerances: Record<string, number> = { blur: 3, hue: 12 };

describe("augmentation against PIL", () => {
  it.each(fixture.cases.map((c) => [JSON.stringify({ ...c, result: undefined }), c] as const))("%s", (_, c) => {
    const operation = operationOf(c);
    const times = c.times ?? 1;
    const pixels = { ...image, height: image.height * times, data: Uint8Array.from(repeat(image.data, times)) };
    const [left, top, right, bottom] = c.box ?? [0, 0, pixels.width, pixels.height];
    const result = levels(pixels, {
      operations: operation === undefined ? [] : [operation],
      flip: c.op === "flip",
      crop: { left, top, width: right - left, height: bottom - top },
      interpolation: c.filter ?? "bilinear",
      width: c.result.width,
      height: c.result.height * times,
    });
    expect(largestDifference(result, repeat(c.result.data, times))).toBeLessThan(tolerances[c.op] ?? 1.5);
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

  it("sharpens a plain image to itself, and leaves images without an inside alone", () => {
    for (const [width, height] of [
      [1, 1],
      [2, 9],
      [9, 2],
      [3, 3],
      [6, 5],
    ] as const) {
      const plainData = new Uint8Array(width * height * 3).fill(77);
      const sharpened = levels({ width, height, data: plainData }, { operations: [{ op: "sharpness", factor: 1.9 }] });
      expect(largestDifference(sharpened, [...plainData])).toBeLessThan(1e-3);
    }
  });

  it("leaves a plain image's levels alone where there is nothing to stretch or to spread", () => {
    const data = new Uint8Array(20 * 20 * 3).fill(77);
    for (const op of ["autocontrast", "equalize"] as const)
      expect(
        largestDifference(levels({ width: 20, height: 20, data }, { operations: [{ op }] }), [...data]),
      ).toBeLessThan(1e-3);
  });

  it("turns an image once round, and fills what comes in with the given colour", () => {
    const square: Pixels = { width: 10, height: 10, data: image.data.slice(0, 300) };
    const fill = [1, 2, 3] as const;
    const quarter: Operation = { op: "affine", matrix: rotation(90, 10), fill };
    const turned = levels(square, { operations: [quarter, quarter, quarter, quarter] });
    expect(largestDifference(turned, [...square.data])).toBeLessThan(0.01);
    const away = levels(square, { operations: [{ op: "affine", matrix: [1, 0, 11, 0, 1, 0], fill }] });
    expect(largestDifference(away, repeat([1, 2, 3], 100))).toBeLessThan(1e-3);
  });

  it("erases after normalising: noise in the box, nothing outside, the same for the same key", () => {
    const box: Box = { left: 2, top: 1, width: 7, height: 8 };
    const grey: Pixels = { width: 12, height: 10, data: new Uint8Array(360).fill(51) };
    const plan = (noise: Key) => levels(grey, { erase: { box, noise } }).map((x) => x / 255);
    const values = plan([1, 2]);
    const inside = values.filter((_, i) => {
      const [x, y] = [Math.floor(i / 3) % 12, Math.floor(i / 36)];
      return x >= 2 && x < 9 && y >= 1 && y < 9;
    });
    expect(values.filter((x) => Math.abs(x - 0.2) < 1e-6).length).toBe(360 - inside.length);
    expect(new Set(inside).size).toBe(7 * 8 * 3);
    const mean = inside.reduce((sum, x) => sum + x, 0) / inside.length;
    const variance = inside.reduce((sum, x) => sum + (x - mean) ** 2, 0) / inside.length;
    expect(Math.abs(mean)).toBeLessThan(0.3);
    expect(Math.abs(variance - 1)).toBeLessThan(0.35);
    expect(plan([1, 2])).toEqual(values);
    expect(plan([1, 3])).not.toEqual(values);
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
