import { expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import * as op from "../../src/graph/ops/index.ts";
import { Scope } from "../../src/nn/scope.ts";
import { draw, evaluate, expectAllclose, initialValues, inputFor, randomFor } from "../helpers.ts";
import { plainBatchNorm, plainLinear, plainRelu, type Rows, rowsOfView } from "./plain.ts";
import { tinySimclr } from "./tiny.ts";

it("loss of given features is the plain formula", async () => {
  const features = draw("float32", [10, 1, 32], randomFor("simclr"));
  const p = new Scope();
  const { loss } = tinySimclr.loss(p, { features: inputFor("features", features) }, {});
  const values = initialValues(p);
  const head = (x: Rows) => {
    const at = (name: number) => `base_encoder.head.${name}`;
    const first = plainRelu(plainBatchNorm(plainLinear(x, values, at(0)), values, at(1)));
    const second = plainRelu(plainBatchNorm(plainLinear(first, values, at(3)), values, at(4)));
    return plainBatchNorm(plainLinear(second, values, at(6)), values, at(7));
  };
  const all = [0, 1].flatMap((view) => head(rowsOfView(features, view))); // batch norm sees each view by itself
  const unit = all.map((row) => row.map((x) => x / Math.hypot(...row)));
  const similarity = (i: number, k: number) =>
    Math.exp(unit[i]!.reduce((sum, x, d) => sum + x * unit[k]![d]!, 0) / 0.2);
  let sum = 0;
  for (let i = 0; i < 10; i++) {
    let others = 0;
    for (let k = 0; k < 10; k++) if (k !== i) others += similarity(i, k);
    sum -= Math.log(similarity(i, (i + 5) % 10) / others);
  }
  const weights = Object.entries(values).filter(([name]) => p.variables.get(name)!.role === "parameter");
  const got = await evaluate({ loss }, { features, ...Object.fromEntries(weights) });
  expectAllclose(got.loss.data, [sum / 10], { relative: 1e-4 });
});

it("gradients reach everything but the final norm's bias, whose gradient is zero", () => {
  const p = new Scope();
  const image = (name: string) => op.input(name, "float32", [4, 3, 16, 16]);
  const { loss } = tinySimclr.loss(p, tinySimclr.encode(p, { view1: image("view1"), view2: image("view2") }, {}), {});
  const parameters = [...p.variables.values()].filter(({ role }) => role === "parameter");
  const gradients = grad(
    loss,
    parameters.map(({ value }) => value),
  );
  const names = parameters.map(({ name }) => name);
  expect(names.filter((_, i) => gradients[i] === undefined)).toEqual(["base_encoder.norm.bias"]);
  expect(names.filter((name) => !name.startsWith("base_encoder."))).toEqual([]);
});
