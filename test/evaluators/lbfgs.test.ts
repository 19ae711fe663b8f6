import { expect, it } from "vitest";
import { minimize } from "../../src/evaluators/lbfgs.ts";
import { expectAllclose, randomFor } from "../helpers.ts";

const options = { tolerance: 1e-9, maxIterations: 500 };

it("solves a quadratic of condition 1,000", async () => {
  const random = randomFor("quadratic");
  const scales = Float64Array.from({ length: 12 }, (_, i) => 10 ** ((3 * i) / 11));
  const solution = scales.map(() => random.normal());
  const found = await minimize(
    async (x) => {
      const gradient = x.map((value, i) => scales[i]! * (value - solution[i]!));
      return { value: gradient.reduce((sum, g, i) => sum + 0.5 * g * (x[i]! - solution[i]!), 0), gradient };
    },
    new Float64Array(12),
    options,
  );
  expectAllclose(found, solution, { absolute: 1e-8 });
});

it("finds the bottom of Rosenbrock's valley", async () => {
  const found = await minimize(
    async ([x, y]) => ({
      value: (1 - x!) ** 2 + 100 * (y! - x! ** 2) ** 2,
      gradient: Float64Array.of(-2 * (1 - x!) - 400 * x! * (y! - x! ** 2), 200 * (y! - x! ** 2)),
    }),
    Float64Array.of(-1.2, 1),
    options,
  );
  expectAllclose(found, [1, 1], { absolute: 1e-7 });
});

it("stops at once where the gradient is small enough, and after so many iterations", async () => {
  let evaluations = 0;
  const bowl = async (x: Float64Array) => {
    evaluations++;
    return { value: x[0]! ** 4, gradient: Float64Array.of(4 * x[0]! ** 3) };
  };
  await minimize(bowl, Float64Array.of(1e-5), { tolerance: 1e-6, maxIterations: 100 });
  expect(evaluations).toBe(1);
  await minimize(bowl, Float64Array.of(3), { tolerance: 0, maxIterations: 2 });
  expect(evaluations).toBeLessThan(50);
});

it("ends when rounding leaves no way down", async () => {
  // the value is as coarse as float32's, the gradient claims that there is more to gain
  const found = await minimize(
    async (x) => ({ value: Math.fround(x[0]! ** 2 + 1e4), gradient: Float64Array.of(2 * x[0]! + 1e-3) }),
    Float64Array.of(1),
    options,
  );
  expect(Math.abs(found[0]!)).toBeLessThan(0.1);
});
