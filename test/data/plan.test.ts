import { describe, expect, it } from "vitest";
import { draw, type Plan } from "../../src/data/plan.ts";
import { centerCrop, maeView, mocoViews } from "../../src/data/views.ts";
import { fold, key, Random } from "../../src/tensor/random.ts";

/** Plans of 2,000 images of width × height. */
function plans(view: Parameters<typeof draw>[0], width: number, height: number): Plan[] {
  return Array.from({ length: 2000 }, (_, i) => draw(view, new Random(fold(key(1), i)), width, height));
}

const share = (all: readonly Plan[], test: (plan: Plan) => boolean) => all.filter(test).length / all.length;
const has = (op: string) => (plan: Plan) => plan.operations.some((operation) => operation.op === op);

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
    const rank = { brightness: 0, contrast: 0, saturation: 0, hue: 0, grayscale: 1, blur: 2, solarize: 3 };
    for (const { operations } of second) {
      const ranks = operations.map(({ op }) => rank[op]);
      expect(ranks).toEqual([...ranks].sort((a, b) => a - b));
    }
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

describe("centre view", () => {
  it("resizes the shorter side and cuts as torchvision does", () => {
    const plan = draw(centerCrop(224), new Random(key(0)), 500, 375);
    expect(plan.resize).toEqual({ width: 341, height: 256 });
    expect(plan.window).toEqual({ left: 58, top: 16, width: 224, height: 224 }); // (341 - 224) / 2 = 58.5, to even
    expect(plan.operations).toEqual([]);
  });
});
