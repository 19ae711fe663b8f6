import { describe, expect, it } from "vitest";
import { grad } from "../../../src/graph/grad.ts";
import * as op from "../../../src/graph/ops/index.ts";
import { checkGrad, draw, expectAllclose, floats, randomFor, tabulate, valueOf } from "../../helpers.ts";

const axes: (number | number[] | undefined)[] = [undefined, 0, 1, 2, -1, -3, [0, 1], [2, 0], [-1, -2], [0, 1, 2], []];
const reductions = [
  ["reduceSum", op.reduceSum, (x: number[]) => x.reduce((a, b) => a + b)],
  ["reduceMean", op.reduceMean, (x: number[]) => x.reduce((a, b) => a + b) / x.length],
  ["reduceMax", op.reduceMax, (x: number[]) => Math.max(...x)],
] as const;

describe.each(reductions)("%s", (_, reduce, plain) => {
  describe.each([true, false])("with keepdims %s", (keepdims) => {
    it.each(axes)("over axes %j", async (axis) => {
      const options = { keepdims, ...(axis === undefined ? {} : { axis }) };
      await checkGrad((x) => reduce(x, options), ["lmn"]);

      const shape = [2, 3, 4] as const;
      const x = draw("float32", shape, randomFor("reduce"));
      const list = (axis === undefined ? [0, 1, 2] : [axis].flat()).map((each) => (each + 3) % 3);
      const kept = shape.map((n, i) => (list.includes(i) ? 1 : n));
      const expected = tabulate(kept, (...place) => {
        const group: number[] = [];
        tabulate(shape, (...index) => {
          const belongs = index.every((each, i) => list.includes(i) || each === place[i]);
          if (belongs) group.push(x.data[index.reduce((at, each, i) => at * shape[i]! + each, 0)]!);
          return 0;
        });
        return plain(group);
      });
      const y = await valueOf((value) => reduce(value, options), x);
      expect(y.shape).toEqual(keepdims ? kept : shape.filter((_, i) => !list.includes(i)));
      expectAllclose(y.data, expected);
    });
  });

  it("of vectors and scalars", async () => {
    await checkGrad((x) => reduce(x), ["n"]);
    await checkGrad((x) => reduce(x), [""]);
  });

  it("refuses axes that do not exist or recur", () => {
    const x = op.input("x", "float32", [2, 3]);
    expect(() => reduce(x, { axis: 2 })).toThrow(new Error("axis 2 is out of range for a tensor of 2 dimensions"));
    expect(() => reduce(x, { axis: -3 })).toThrow(new Error("axis -3 is out of range for a tensor of 2 dimensions"));
    expect(() => reduce(x, { axis: [1, -1] })).toThrow(new Error("axes [1,1] name one axis twice"));
  });
});

it("equal maxima share the gradient", async () => {
  const f = (x: ReturnType<typeof op.input>) => grad(op.reduceSum(op.reduceMax(x, { axis: 1 })), [x])[0]!;
  expect([...(await valueOf(f, floats([2, 3], [1, 4, 4, 5, 2, 3]))).data]).toEqual([0, 0.5, 0.5, 1, 0, 0]);
});
