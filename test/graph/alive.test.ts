import { expect, it } from "vitest";
import { mostAlive } from "../../src/graph/alive.ts";
import { grad } from "../../src/graph/grad.ts";
import * as op from "../../src/graph/ops/index.ts";

const x = op.input("x", "float32", [10]); // 40 bytes, the caller's

it("counts what lies between inputs and outputs", () => {
  expect(mostAlive([op.exp(x)])).toBe(0);
  expect(mostAlive([op.exp(op.exp(x))])).toBe(40);
});

it("frees a value after its last use", () => {
  // while the second of three is made, the first is still there
  expect(mostAlive([op.exp(op.exp(op.exp(op.exp(x))))])).toBe(80);
  const kept = op.exp(x);
  expect(mostAlive([op.add(op.exp(op.exp(op.exp(kept))), kept)])).toBe(120);
});

it("counts a reshaped value once, under whatever shape it is used last", () => {
  const y = op.exp(x);
  expect(mostAlive([op.exp(op.reshape(y, [2, 5]))])).toBe(40);
  expect(mostAlive([op.reshape(y, [2, 5])])).toBe(0);
});

it("of a gradient grows with the depth, since the way back needs what the way forth has made", () => {
  const chain = (depth: number) => {
    let y = x;
    for (let i = 0; i < depth; i++) y = op.exp(y);
    return mostAlive(grad(op.reduceSum(y), [x]).filter((each) => each !== undefined));
  };
  expect(chain(9) - chain(8)).toBe(40);
});
