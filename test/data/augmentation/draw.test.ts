import { describe, expect, it } from "vitest";
import { draw } from "../../../src/data/augmentation/draw.ts";
import type { Transform } from "../../../src/data/augmentation/transform.ts";
import { rotation } from "../../../src/data/augmentation/rand-augment.ts";
import { centerCrop, fineTuneView, maeView, mocoViews } from "../../../src/data/augmentation/views.ts";
import { fold, key, Random } from "../../../src/tensor/random.ts";

/** Plans of 2,000 images of width × height. */
function plans(view: Parameters<typeof draw>[0], width: number, height: number): Transform[] {
  return Array.from({ length: 2000 }, (_, i) => draw(view, new Random(fold(key(1), i)), width, height));
}

const share = (all: readonly Transform[], test: (plan: Transform) => boolean) => all.filter(test).length / all.length;
const has = (op: string) => (plan: Transform) => plan.operations.some((operation) => operation.op === op);

describe("random crops", () => {
  it("cover the asked share of the area, in the asked ratios, inside the image", () => {
    for (const { crop } of plans(maeView(224), 500, 400)) {
      const area = (crop.width * crop.height) / (500 * 400);
      expect(area).toBeGreaterThan(0.19);
      expect(area).toBeLessThanOrEqual(1);
      expect(crop.width / crop.height).toBeGreaterThan(0.73);
      expect(crop.width / crop.height).toBeLessThan(1.36);
      expect(crop.left >= 0 && crop.left + crop.width <= 500).toBe(true);
      expect(crop.top >= 0 && crop.top + crop.height <= 400).toBe(true);
    }
  });

  it("have uniform areas on a square image (mean of 8 to 100 %)", () => {
    const areas = plans(mocoViews(32, { ratio: [1, 1] }).view1, 1000, 1000).map(({ crop }) => crop.width * crop.height);
    expect(areas.reduce((sum, area) => sum + area, 0) / areas.length / 1e6).toBeCloseTo(0.54, 1);
  });

  it("fall back to the largest central crop of an extreme image", () => {
    const { crop } = draw(maeView(8), new Random(key(0)), 1000, 10);
    expect(crop).toEqual({ left: 493, top: 0, width: 13, height: 10 });
    expect(draw(maeView(8), new Random(key(0)), 10, 1000).crop).toEqual({ left: 0, top: 493, width: 10, height: 13 });
  });
});

describe("MoCo v3's views", () => {
  const first = plans(mocoViews(32).view1, 64, 64);
  const second = plans(mocoViews(32).view2, 64, 64);

  it("apply operations as often as the paper", () => {
    for (const views of [first, second]) {
      expect(share(views, has("hue"))).toBeCloseTo(0.8, 1);
      expect(share(views, has("grayscale"))).toBeCloseTo(0.2, 1);
      expect(share(views, (plan) => plan.flip)).toBeCloseTo(0.5, 1);
    }
    expect(share(first, has("blur"))).toBe(1);
    expect(share(second, has("blur"))).toBeCloseTo(0.1, 1);
    expect(share(first, has("solarize"))).toBe(0);
    expect(share(second, has("solarize"))).toBeCloseTo(0.2, 1);
  });

  it("shuffle the jitter, and keep grey, blur, solarize in order after it", () => {
    const starts = new Set(first.filter(has("hue")).map((plan) => plan.operations[0]!.op));
    expect([...starts].sort()).toEqual(["brightness", "contrast", "hue", "saturation"]);
    const order = ["grayscale", "blur", "solarize"]; // jitter: -1
    for (const { operations } of second) {
      const ranks = operations.map(({ op }) => order.indexOf(op));
      expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
    }
  });

  it("stay what they are: a resumed run and a repeated one see the same views", () => {
    expect(draw(mocoViews(24).view2, new Random(fold(key(3), 5)), 50, 37)).toMatchObject({
      crop: { left: 1, top: 3, width: 41, height: 31 },
      flip: false,
      operations: [
        { op: "hue", turn: 0.05818265420384705 },
        { op: "contrast", factor: 1.3842679921537637 },
        { op: "saturation", factor: 0.8999583406373859 },
        { op: "brightness", factor: 0.8115429200232028 },
      ],
    });
  });

  it("draw strengths within bounds", () => {
    for (const { operations } of [...first, ...second])
      for (const operation of operations) {
        if (operation.op === "brightness") expect(Math.abs(operation.factor - 1)).toBeLessThanOrEqual(0.4);
        if (operation.op === "saturation") expect(Math.abs(operation.factor - 1)).toBeLessThanOrEqual(0.2);
        if (operation.op === "hue") expect(Math.abs(operation.turn)).toBeLessThanOrEqual(0.1);
        if (operation.op === "blur") expect(operation.sigma >= 0.1 && operation.sigma <= 2).toBe(true);
      }
  });
});

describe("the view of fine-tuning", () => {
  const all = plans(fineTuneView(32), 64, 64);
  const operations = all.flatMap((plan) => plan.operations);

  it("applies each of two operations half of the time", () => {
    const counts = [0, 1, 2].map((n) => share(all, (plan) => plan.operations.length === n));
    expect(counts[0]).toBeCloseTo(0.25, 1);
    expect(counts[1]).toBeCloseTo(0.5, 1);
    expect(counts[2]).toBeCloseTo(0.25, 1);
  });

  it("draws all 15 alike, five of them affine", () => {
    const names = new Map<string, number>();
    for (const { op } of operations) names.set(op, (names.get(op) ?? 0) + 1 / operations.length);
    expect([...names.keys()].sort()).toEqual(
      "affine autocontrast brightness contrast equalize invert posterize saturation sharpness solarize solarizeAdd".split(
        " ",
      ),
    );
    for (const [name, part] of names) expect(Math.abs(part - (name === "affine" ? 5 : 1) / 15)).toBeLessThan(0.03);
  });

  it("is about as strong as magnitude 9 of 10, in both directions", () => {
    const means = new Map<string, number[]>();
    const see = (name: string, value: number) => means.set(name, [...(means.get(name) ?? []), value]);
    for (const operation of operations) {
      if (operation.op === "posterize") see("posterize", operation.bits);
      if (operation.op === "solarize") see("solarize", operation.threshold);
      if (operation.op === "solarizeAdd") see("solarizeAdd", operation.amount);
      if (operation.op === "saturation") {
        see("saturation", Math.abs(operation.factor - 1));
        see("more saturation", operation.factor > 1 ? 1 : 0);
      }
      if (operation.op === "affine") {
        const [a, b, c, d, , f] = operation.matrix;
        expect(operation.fill).toEqual([124, 116, 104]);
        if (a !== 1) see("rotation", Math.acos(a) * (180 / Math.PI));
        else if (b !== 0) see("shear x", Math.abs(b));
        else if (d !== 0) see("shear y", Math.abs(d));
        else if (c !== 0) see("shift x", Math.abs(c));
        else see("shift y", Math.abs(f));
      }
    }
    const mean = (name: string) => means.get(name)!.reduce((sum, x) => sum + x, 0) / means.get(name)!.length;
    // A strength of 0.9 ± 0.05, cut off at 1, has a mean of 0.8996.
    expect(Math.abs(mean("rotation") - 27)).toBeLessThan(0.5);
    expect(Math.abs(mean("shear x") - 0.27)).toBeLessThan(0.005);
    expect(Math.abs(mean("shear y") - 0.27)).toBeLessThan(0.005);
    expect(Math.abs(mean("shift x") - 0.405 * 32)).toBeLessThan(0.2);
    expect(Math.abs(mean("shift y") - 0.405 * 32)).toBeLessThan(0.2);
    expect(Math.abs(mean("saturation") - 0.81)).toBeLessThan(0.02);
    expect(Math.abs(mean("more saturation") - 0.5)).toBeLessThan(0.15);
    expect(Math.abs(mean("solarize") - 26)).toBeLessThan(3);
    expect(Math.abs(mean("solarizeAdd") - 98.5)).toBeLessThan(2);
    expect(means.get("posterize")!.every((bits) => bits >= 0 && bits <= 2)).toBe(true);
    expect(mean("posterize")).toBeCloseTo(1, 1);
  });

  it("erases 2 to 33 % of a quarter of the views", () => {
    const erased = all.filter((plan) => plan.erase !== undefined);
    expect(erased.length / all.length).toBeCloseTo(0.25, 1);
    for (const { erase } of erased) {
      const { left, top, width, height } = erase!.box;
      expect(left >= 0 && top >= 0 && left + width <= 32 && top + height <= 32).toBe(true);
      expect(width * height).toBeGreaterThan(0.01 * 32 * 32);
      expect(width * height).toBeLessThan(0.36 * 32 * 32);
    }
    expect(new Set(erased.map(({ erase }) => String(erase!.noise))).size).toBe(erased.length);
  });
});

describe("rotation", () => {
  it("keeps the middle and turns the rest counter-clockwise", () => {
    const at = (x: number, y: number) => {
      const [a, b, c, d, e, f] = rotation(90, 10);
      return [a * x + b * y + c, d * x + e * y + f].map((z) => Number(z.toFixed(9)));
    };
    expect(at(5, 5)).toEqual([5, 5]);
    // What is right of the middle goes up: the top shows it.
    expect(at(5, 0)).toEqual([10, 5]);
  });
});

describe("centre view", () => {
  it("resizes the shorter side and cuts as torchvision does", () => {
    const plan = draw(centerCrop(224), new Random(key(0)), 500, 375);
    expect(plan.resize).toEqual({ width: 341, height: 256 });
    expect(plan.window).toEqual({ left: 58, top: 16, width: 224, height: 224 }); // (341 - 224) / 2 = 58.5, to even
    expect(plan.operations).toEqual([]);
  });
});
