import { describe, expect, it } from "vitest";
import { sizeOf } from "../../src/tensor/shape.ts";
import type { AdamWOptions } from "../../src/backend/backend.ts";
import { adamw } from "../../src/backend/cpu.ts";
import { allocateBlocks, type Block } from "../../src/backend/memory.ts";
import { expectAllclose, randomFor } from "../helpers.ts";

const arrays = ["w", "g", "m", "v"];
async function blockOf(shape: readonly number[]): Promise<Block> {
  return (await allocateBlocks([{ shape, arrays }]))[0]!;
}

/** PyTorch's AdamW on plain float64 arrays. */
function plainAdamw(
  state: Record<"w" | "m" | "v", Float64Array>,
  gradient: ArrayLike<number>,
  { betas: [beta1, beta2], epsilon, weightDecay }: AdamWOptions,
  { step, rate, decay, scale }: { step: number; rate: number; decay: boolean; scale: number },
) {
  const { w, m, v } = state;
  for (let i = 0; i < w.length; i++) {
    const g = gradient[i]! * scale;
    if (decay) w[i]! -= rate * weightDecay * w[i]!;
    m[i] = beta1 * m[i]! + (1 - beta1) * g;
    v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
    w[i]! -= (rate * (m[i]! / (1 - beta1 ** step))) / (Math.sqrt(v[i]! / (1 - beta2 ** step)) + epsilon);
  }
}

describe("adamw", () => {
  const settings = [
    { betas: [0.9, 0.999], epsilon: 1e-8, weightDecay: 0.1 },
    { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05 },
    { betas: [0.5, 0.9999], epsilon: 1e-2, weightDecay: 0 },
  ] as const;
  const cases = settings.flatMap((options) =>
    [[1], [2, 2], [3, 5], [1027]].flatMap((shape) => [true, false].map((decay) => ({ options, shape, decay }))),
  );
  it.each(cases)("$options.betas of $shape, decay $decay", async ({ options, shape, decay }) => {
    const random = randomFor("adamw", ...shape);
    const block = await blockOf(shape);
    const { w, g, m, v } = block.tensors as Record<"w" | "g" | "m" | "v", Block["tensors"][string]>;
    const size = sizeOf(shape);
    for (let i = 0; i < size; i++) w.data[i] = random.normal();
    const state = { w: Float64Array.from(w.data), m: new Float64Array(size), v: new Float64Array(size) };
    for (let step = 1; step <= 6; step++) {
      for (let i = 0; i < size; i++) g.data[i] = random.normal() * 10 ** random.uniform(-4, 2);
      const at = { step, rate: 1e-2 * step, decay, scale: step % 2 === 0 ? 0.25 : 1 };
      plainAdamw(state, g.data, options, at);
      adamw(block, options, at);
      expect(g.data.every((x) => x === 0)).toBe(true);
    }
    expectAllclose(m.data, state.m, { absolute: 1e-5, relative: 1e-6 }, "m");
    expectAllclose(v.data, state.v, { absolute: 1e-9, relative: 1e-6 }, "v");
    expectAllclose(w.data, state.w, { absolute: 1e-6, relative: 1e-6 }, "w");
  });
  it("leaves the padding at zero", async () => {
    const [first, second] = await allocateBlocks([
      { shape: [5], arrays },
      { shape: [2], arrays },
    ]);
    for (const block of [first!, second!]) {
      for (const name of arrays) block.tensors[name]!.data.fill(name === "v" ? 1 : -1);
      adamw(block, settings[0], { step: 1, rate: 0.1, decay: true });
    }
    const { buffer } = first!.tensors["w"]!.data;
    for (const { pointers, length, tensors } of [first!, second!])
      for (const name of arrays) {
        const used = tensors[name]!.data.length;
        expect([...new Float32Array(buffer as ArrayBuffer, pointers[name]! + 4 * used, length - used)]).toEqual(
          Array(length - used).fill(0),
        );
      }
  });
});

describe("kernel", () => {
  it.each([0.9, 0.99, 0.9999, 0.999999, 1, 0])("average with momentum %d", async (momentum) => {
    const random = randomFor("average");
    const [block] = await allocateBlocks([{ shape: [7], arrays: ["target", "source"] }]);
    const { kernel, pointers, length, tensors } = block!;
    const [target, source] = [tensors["target"]!.data, tensors["source"]!.data];
    for (let i = 1; i < 7; i++) [target[i], source[i]] = [random.normal(), random.normal()];
    [target[0], source[0]] = [0, 1]; // what is added, by itself
    const expected = Float64Array.from(target, (x, i) => momentum * x + (1 - momentum) * source[i]!);
    kernel.average(pointers["target"]!, pointers["source"]!, length, momentum);
    expectAllclose(target, expected, { absolute: 0, relative: 1e-6 });
  });
  it("sumOfSquares is accurate for many numbers", async () => {
    const random = randomFor("sumOfSquares");
    for (const size of [1, 6, 4096, 100_001]) {
      const [block] = await allocateBlocks([{ shape: [size], arrays: ["x"] }]);
      const x = block!.tensors["x"]!.data;
      for (let i = 0; i < size; i++) x[i] = random.normal();
      const expected = x.reduce((sum, each) => sum + each * each, 0);
      expectAllclose([block!.kernel.sumOfSquares(block!.pointers["x"]!, block!.length)], [expected], {
        relative: 1e-6,
      });
    }
  });
  it("sumOfSquares shows what is not finite", async () => {
    const [block] = await allocateBlocks([{ shape: [9], arrays: ["x"] }]);
    const sum = () => block!.kernel.sumOfSquares(block!.pointers["x"]!, block!.length);
    block!.tensors["x"]!.data[8] = NaN;
    expect(sum()).toBeNaN();
    block!.tensors["x"]!.data[8] = -Infinity;
    expect(sum()).toBe(Infinity);
  });
});
