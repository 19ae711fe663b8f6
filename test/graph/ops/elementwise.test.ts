import { describe, expect, it } from "vitest";
import { broadcast } from "../../../src/tensor/shape.ts";
import { tensor } from "../../../src/tensor/tensor.ts";
import { grad } from "../../../src/graph/grad.ts";
import * as op from "../../../src/graph/ops/index.ts";
import type { Value } from "../../../src/graph/value.ts";
import {
  at,
  checkGrad,
  type CheckGradOptions,
  draw,
  erfSeries,
  expectAllclose,
  floats,
  plainErf,
  randomFor,
  tabulate,
  valueOf,
} from "../../helpers.ts";

const patterns = [
  ["mn", "mn"],
  ["mn", "n"],
  ["n", "mn"],
  ["1n", "m1"],
  ["mn", ""],
  ["", "mn"],
  ["", ""],
  ["m1", "lmn"],
  ["lmn", "l1n"],
  ["1m1", "l1n"],
  ["n", "lm1"],
  ["11", "mn"],
];

/** Far from 0, of either sign. */
const awayFromZero: CheckGradOptions = {
  draw: (random) => (0.5 + random.uniform()) * (random.uniform() < 0.5 ? -1 : 1),
};
const positive: CheckGradOptions = { draw: (random) => 0.3 + random.uniform() };

const binary: [string, (a: Value, b: Value) => Value, (a: number, b: number) => number, CheckGradOptions?][] = [
  ["add", op.add, (a, b) => a + b],
  ["sub", op.sub, (a, b) => a - b],
  ["mul", op.mul, (a, b) => a * b],
  ["div", op.div, (a, b) => a / b, awayFromZero],
  ["maximum", op.maximum, Math.max],
];
describe.each(binary)("%s", (_, f, plain, options) => {
  it.each(patterns)("of shapes [%s] and [%s]", (a, b) => checkGrad(f, [a, b], options));

  it("has the values of plain arithmetic, broadcast", async () => {
    const random = randomFor("binary");
    const [a, b] = [draw("float32", [3, 1, 4], random), draw("float32", [2, 1], random)];
    const expected = tabulate([3, 2, 4], (...index) => plain(at(a, ...index), at(b, ...index)));
    expectAllclose((await valueOf(f, a, b)).data, expected);
  });

  it("takes a number on either side", async () => {
    const a = floats([3], [1, 2, -4]);
    expectAllclose((await valueOf((x) => f(x, op.scalar(2)), a)).data, [plain(1, 2), plain(2, 2), plain(-4, 2)]);
    expectAllclose((await valueOf((x) => f(op.scalar(2), x), a)).data, [plain(2, 1), plain(2, 2), plain(2, -4)]);
  });
});

const unary: [string, (x: Value) => Value, (x: number) => number, CheckGradOptions?][] = [
  ["neg", op.neg, (x) => -x],
  ["exp", op.exp, Math.exp],
  ["log", op.log, Math.log, positive],
  ["sqrt", op.sqrt, Math.sqrt, positive],
  ["relu", op.relu, (x) => Math.max(x, 0), awayFromZero],
  ["abs", op.abs, Math.abs, awayFromZero],
  ["erf", op.erf, plainErf, { exact: erfSeries }],
];
describe.each(unary)("%s", (_, f, plain, options) => {
  it.each(["", "n", "lmn"])("of shape [%s]", (shape) => checkGrad(f, [shape], options));

  it("has the values of plain arithmetic", async () => {
    const random = randomFor("unary");
    const x = draw("float32", [2, 5], random, () => options?.draw?.(random, 0) ?? random.normal());
    const expected = tabulate([2, 5], (...index) => plain(at(x, ...index)));
    expectAllclose((await valueOf(f, x)).data, expected);
  });
});

describe("at the kinks", () => {
  const gradientAt = async (f: (...x: Value[]) => Value, ...numbers: number[]) => {
    const all = (...x: Value[]) =>
      op.concat(
        grad(f(...x), x).map((each) => op.reshape(each!, [1])),
        0,
      );
    return [...(await valueOf(all, ...numbers.map((x) => floats([], [x])))).data];
  };
  it("relu and abs have gradient 0 at 0", async () => {
    expect(await gradientAt(op.relu, 0)).toEqual([0]);
    expect(await gradientAt(op.abs, 0)).toEqual([0]);
  });
  it("maximum gives the gradient of equal operands to the first", async () => {
    expect(await gradientAt(op.maximum, 2, 2)).toEqual([1, 0]);
    expect(await gradientAt(op.maximum, 2, 3)).toEqual([0, 1]);
    expect(await gradientAt(op.maximum, 3, 2)).toEqual([1, 0]);
  });
});

describe("where", () => {
  const condition = (shape: readonly number[]) =>
    op.constant(tensor("bool", shape, Uint8Array.from(tabulate(shape, (...i) => i.reduce((a, b) => a + b, 0) % 2))));

  it.each(patterns)("of branches [%s] and [%s]", (a, b) =>
    checkGrad((x, y) => op.where(condition(broadcast(x.shape, y.shape)), x, y), [a, b]),
  );
  it("broadcasts the condition", async () => {
    await checkGrad((x, y) => op.where(condition([x.shape[0]!, 1]), x, y), ["mn", "mn"]);
    await checkGrad((x, y) => op.where(condition([3, 1, 1]), x, y), ["mn", "n"]);
  });
  it("takes numbers as branches", async () => {
    const x = floats([4], [1, 2, 3, 4]);
    expect([...(await valueOf((a) => op.where(op.less(a, 2.5), a, 0), x)).data]).toEqual([1, 2, 0, 0]);
    expect([...(await valueOf((a) => op.where(op.less(a, 2.5), -1, a), x)).data]).toEqual([-1, -1, 3, 4]);
  });
});

describe("comparisons and sign", () => {
  it("are bool, broadcast", async () => {
    const [a, b] = [floats([2, 1], [1, 2]), floats([3], [1, 2, 3])];
    const less = await valueOf(op.less, a, b);
    expect(less).toMatchObject({ dtype: "bool", shape: [2, 3] });
    expect(Array.from(less.data, Number)).toEqual([0, 1, 1, 0, 0, 1]);
    expect(Array.from((await valueOf(op.equal, a, b)).data, Number)).toEqual([1, 0, 0, 0, 1, 0]);
  });
  it("stop gradients", () => {
    const x = op.input("x", "float32", [3]);
    const steps = op.add(op.cast(op.less(x, 0), "float32"), op.add(op.sign(x), op.cast(op.equal(x, 1), "float32")));
    expect(grad(op.reduceSum(steps), [x])).toEqual([undefined]);
    expect(grad(op.reduceSum(op.mul(steps, x)), [x])[0]?.shape).toEqual([3]);
  });
  it("sign is -1, 0 or 1", async () => {
    expect([...(await valueOf(op.sign, floats([3], [-2, 0, 5]))).data]).toEqual([-1, 0, 1]);
  });
});

describe("cast", () => {
  it("keeps a value of the same type as it is", () => {
    const x = op.input("x", "float32", [2]);
    expect(op.cast(x, "float32")).toBe(x);
  });
  it("converts numbers", async () => {
    const y = await valueOf((x) => op.cast(x, "int64"), floats([3], [1.7, -1.7, 0]));
    expect(y.dtype).toBe("int64");
    expect([...y.data]).toEqual([1n, -1n, 0n]);
  });
  it("passes gradients between floating-point types", async () => {
    const narrow = (x: Value) => op.cast(op.exp(op.cast(x, "float64")), x.dtype);
    await checkGrad((x) => op.mul(narrow(x), x), ["mn"]);
    const x = op.input("x", "float32", [2]);
    const y = op.reduceSum(op.cast(x, "float64"));
    expect(grad(y, [x])[0]).toMatchObject({ dtype: "float32", shape: [2] });
  });
  it("passes none through integers", () => {
    const x = op.input("x", "float32", [2]);
    expect(grad(op.reduceSum(op.cast(op.cast(x, "int64"), "float32")), [x])).toEqual([undefined]);
  });
});

describe("errors", () => {
  const a = op.input("a", "float32", [2, 3]);
  it.each<[string, () => Value, string]>([
    [
      "shapes",
      () => op.add(a, op.input("b", "float32", [2])),
      "Add: cannot broadcast [2,3] with [2]: axis 1 is 3 and 2",
    ],
    [
      "axes in front",
      () => op.mul(op.input("b", "float32", [4, 5, 3]), a),
      "Mul: cannot broadcast [4,5,3] with [2,3]: axis 1 is 5 and 2",
    ],
    ["types", () => op.sub(a, op.input("b", "float64", [3])), "Sub: element types differ: float32 and float64"],
    ["two numbers", () => op.add(1, 2), "one of the two operands must be a Value"],
    ["condition", () => op.where(a, 1, a), "Where: the condition must be bool, but is float32"],
    [
      "branches",
      () => op.where(op.less(a, 0), a, op.input("b", "float32", [4])),
      "Where: cannot broadcast [2,3] with [4]: axis 1 is 3 and 4",
    ],
  ])("name what differs: %s", (_, f, message) => {
    expect(f).toThrow(new Error(message));
  });
});
