import { expect, it } from "vitest";
import { type Evaluation, minimize } from "../../src/evaluators/lbfgs.ts";
import { expectAllclose, randomFor } from "../helpers.ts";

const below =
  (tolerance: number) =>
  ({ gradient }: Evaluation) =>
    gradient.every((g) => Math.abs(g) < tolerance);
const options = { done: below(1e-9), maxIterations: 500 };

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
  expectAllclose(found.point, solution, { absolute: 1e-8 });
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
  expectAllclose(found.point, [1, 1], { absolute: 1e-7 });
});

it("stops at once where the gradient is small enough, and after so many iterations", async () => {
  let evaluations = 0;
  const bowl = async (x: Float64Array) => {
    evaluations++;
    return { value: x[0]! ** 4, gradient: Float64Array.of(4 * x[0]! ** 3) };
  };
  const found = await minimize(bowl, Float64Array.of(1e-5), { done: below(1e-6), maxIterations: 100 });
  expect(evaluations).toBe(1);
  expect(found).toMatchObject({ converged: true, iterations: 0 });
  const stopped = await minimize(bowl, Float64Array.of(3), { done: () => false, maxIterations: 2 });
  expect(stopped).toMatchObject({ converged: false, iterations: 2 });
  expect(stopped.here.value).toBeCloseTo(stopped.point[0]! ** 4, 12);
});

it("ends when rounding leaves no way down", async () => {
  // the value is as coarse as float32's, the gradient claims that there is more to gain
  const found = await minimize(
    async (x) => ({ value: Math.fround(x[0]! ** 2 + 1e4), gradient: Float64Array.of(2 * x[0]! + 1e-3) }),
    Float64Array.of(1),
    options,
  );
  expect(Math.abs(found.point[0]!)).toBeLessThan(0.1);
  const stuck = await minimize(
    async (x) => ({ value: x[0] === 1 ? 0 : 1e-9, gradient: Float64Array.of(1) }),
    Float64Array.of(1),
    options,
  );
  expect(stuck).toMatchObject({ converged: false, iterations: 0 });
});

it("goes on where the function is nearly flat", async () => {
  const scales = [1e-14, 1e-8]; // curvatures along steps are far below 1e-12
  const found = await minimize(
    async (x) => {
      const gradient = x.map((value, i) => scales[i]! * (value - 1));
      return { value: gradient.reduce((sum, g, i) => sum + 0.5 * g * (x[i]! - 1), 0), gradient };
    },
    new Float64Array(2),
    { done: below(1e-18), maxIterations: 100 },
  );
  expectAllclose(found.point, [1, 1], { absolute: 1e-3 });
});
