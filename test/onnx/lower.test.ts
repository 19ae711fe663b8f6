import { describe, expect, it } from "vitest";
import { accumulate, grad } from "../../src/graph/grad.ts";
import * as op from "../../src/graph/ops/index.ts";
import type { Value } from "../../src/graph/value.ts";
import { lower } from "../../src/onnx/lower.ts";
import { nodesOf } from "../helpers.ts";

const x = op.input("x", "float32", [4, 3]);
const order = (outputs: Record<string, Value>) => nodesOf(lower(outputs).model);

describe("order of nodes", () => {
  it("writes leaves last, in the reverse of the order in which they become ready", () => {
    const sum = (i: number) => op.input(`sum${i}`, "float32", [4, 3]);
    const outputs: Record<string, Value> = {};
    let y: Value = x;
    for (const i of [0, 1, 2]) {
      y = op.exp(y);
      outputs[`early${i}`] = op.add(sum(i), y);
    }
    const ends = order(outputs).map(({ output }) => output[0]);
    expect(ends.slice(-3)).toEqual(["early2", "early1", "early0"]);
    expect(
      order(outputs)
        .slice(0, -3)
        .map(({ type }) => type),
    ).toEqual(["Exp", "Exp", "Exp"]);
  });
  it("lets the gradients of a network become ready from the top down", () => {
    const weights = [0, 1, 2, 3].map((i) => op.input(`w${i}`, "float32", [3, 3]));
    const loss = op.reduceSum(weights.reduce<Value>((y, w) => op.exp(op.gemm(y, w)), x));
    const gradients = grad(loss, weights).map((gradient, i) =>
      accumulate((shape) => op.input(`sum${i}`, "float32", shape), gradient!),
    );
    const outputs = Object.fromEntries(gradients.map((gradient, i) => [`gradient${i}`, gradient]));
    const written = order({ loss, ...outputs }).flatMap(({ output }) => output);
    // The runtime starts from the last leaf: the loss, then the topmost weight.
    expect(written.slice(-5)).toEqual(["gradient0", "gradient1", "gradient2", "gradient3", "loss"]);
  });
  it("writes every node after the ones it reads", () => {
    const { model, inputs } = lower({
      y: op.layerNorm(x, op.reduceSum(x, { axis: 0 }), op.reduceMean(x, { axis: 0 })),
    });
    const known = new Set(inputs.keys());
    for (const { input, output } of nodesOf(model)) {
      for (const name of input) expect(known.has(name) || name.startsWith("%c")).toBe(true);
      for (const name of output) known.add(name);
    }
  });
});

describe("names", () => {
  it("an output takes over the name of what it is, so that nothing is copied", () => {
    const y = op.exp(x);
    const nodes = order({ y, z: op.neg(y) });
    expect(nodes).toEqual([
      { type: "Exp", input: ["x"], output: ["y"] },
      { type: "Neg", input: ["y"], output: ["z"] },
    ]);
  });
  it("the second output of a value and the output of an input are copies", () => {
    const y = op.exp(x);
    const types = order({ y, again: y, same: x, fixed: op.scalar(1) }).map(
      ({ type, output }) => `${type} ${output.join()}`,
    );
    expect(types.toSorted()).toEqual(["Exp y", "Identity again", "Identity fixed", "Identity same"]);
  });
  it("refuses two inputs of one name", () => {
    const other = op.input("x", "float32", [4, 3]);
    expect(() => lower({ y: op.add(x, other) })).toThrow(new Error("two different inputs are named x"));
  });
  it("lists the inputs", () => {
    const { inputs } = lower({ y: op.add(x, op.input("b", "float32", [3])) });
    expect([...inputs].map(([name, { shape }]) => [name, shape])).toEqual([
      ["x", [4, 3]],
      ["b", [3]],
    ]);
  });
});

describe("size", () => {
  it("keeps one copy of small constants that recur", () => {
    const adding = (count: number) => {
      let y: Value = x;
      for (let i = 0; i < count; i++) y = op.add(y, op.full([40], 1.5).shape.length > 0 ? op.scalar(1.5) : 0);
      return lower({ y }).model.length;
    };
    const perNode = (adding(300) - adding(200)) / 100;
    expect(perNode).toBeLessThan(40); // an Add with its names; a constant would take as much again
  });
  it("stopGradient costs no node", () => {
    expect(order({ y: op.exp(op.stopGradient(op.stopGradient(x))) }).map(({ type }) => type)).toEqual(["Exp"]);
  });
});
