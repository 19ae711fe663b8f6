import { describe, expect, it } from "vitest";
import { grad } from "../../src/graph/grad.ts";
import * as op from "../../src/graph/ops/index.ts";
import { Scope } from "../../src/nn/scope.ts";
import { draw, evaluate, expectAllclose, floats, initialValues, inputFor, randomFor } from "../helpers.ts";
import { mean, plainBatchNorm, plainLinear, plainRelu, type Rows, rowsOfView, variance } from "./plain.ts";
import { tinyVicreg, vicregOptions } from "./tiny.ts";

const features = draw("float32", [14, 1, 32], randomFor("vicreg"));

/** The loss and its terms, and the expander's values. */
async function lossOf(input: ReturnType<typeof floats>) {
  const p = new Scope();
  const { loss, metrics } = tinyVicreg.loss(p, { features: inputFor("features", input) }, {});
  const values = initialValues(p);
  const weights = Object.entries(values).filter(([name]) => p.variables.get(name)!.role === "parameter");
  const got = await evaluate({ loss, ...metrics }, { features: input, ...Object.fromEntries(weights) });
  return { got: got as Record<string, (typeof got)["loss"]>, values };
}

it("loss and terms of given features are the plain formulas", async () => {
  const { got, values } = await lossOf(features);
  const expander = (x: Rows) => {
    const at = (name: number) => `base_encoder.head.${name}`;
    const first = plainRelu(plainBatchNorm(plainLinear(x, values, at(0)), values, at(1)));
    const second = plainRelu(plainBatchNorm(plainLinear(first, values, at(3)), values, at(4)));
    return plainLinear(second, values, at(6));
  };
  const [z1, z2] = [0, 1].map((view) => expander(rowsOfView(features, view))) as [number[][], number[][]];
  const [samples, dim] = [7, vicregOptions.dim];
  const invariance = mean(z1.flatMap((row, n) => row.map((x, d) => (x - z2[n]![d]!) ** 2)));
  let [varied, correlated] = [0, 0];
  for (const z of [z1, z2]) {
    const channels = z[0]!.map((_, d) => z.map((row) => row[d]!));
    const centered = channels.map((channel) => channel.map((x) => x - mean(channel)));
    for (let i = 0; i < dim; i++) {
      const deviation = Math.sqrt((variance(channels[i]!) * samples) / (samples - 1) + 1e-4);
      varied += Math.max(0, 1 - deviation) / dim / 2;
      for (let j = 0; j < dim; j++)
        if (i !== j)
          correlated += (centered[i]!.reduce((sum, x, n) => sum + x * centered[j]![n]!, 0) / (samples - 1)) ** 2 / dim;
    }
  }
  expect(varied).toBeGreaterThan(0.1);
  const close = (name: string, expected: number) =>
    expectAllclose(got[name]!.data, [expected], { relative: 1e-4 }, name);
  close("invariance", invariance);
  close("variance", varied);
  close("covariance", correlated);
  close("loss", 25 * invariance + 25 * varied + correlated);
});

describe("collapse", () => {
  it("to one point costs the whole variance term", async () => {
    const row = features.data.slice(0, 32);
    const same = floats(
      features.shape,
      features.data.map((_, i) => row[i % 32]!),
    );
    const { got } = await lossOf(same);
    expectAllclose(got["invariance"]!.data, [0]);
    expectAllclose(got["variance"]!.data, [1 - Math.sqrt(1e-4)], { absolute: 1e-4 });
    expectAllclose(got["covariance"]!.data, [0], { absolute: 1e-4 });
  });
});

describe("expander", () => {
  const p = new Scope();
  const image = (name: string) => op.input(name, "float32", [4, 3, 16, 16]);
  const { loss } = tinyVicreg.loss(p, tinyVicreg.encode(p, { view1: image("view1"), view2: image("view2") }, {}), {});

  it("has the original's layout, with a linear layer at the end", () => {
    const head = [...p.variables.values()].filter(({ name }) => name.startsWith("base_encoder.head."));
    const norm = (at: number) =>
      ["running_mean", "running_var", "weight", "bias"].map((name) => [`base_encoder.head.${at}.${name}`, [32]]);
    expect(Object.fromEntries(head.map(({ name, shape }) => [name, shape]))).toEqual({
      "base_encoder.head.0.weight": [32, 32],
      "base_encoder.head.0.bias": [32],
      ...Object.fromEntries(norm(1)),
      "base_encoder.head.3.weight": [32, 32],
      "base_encoder.head.3.bias": [32],
      ...Object.fromEntries(norm(4)),
      "base_encoder.head.6.weight": [24, 32],
    });
  });
  it("has no gradient for the biases that batch normalisation takes out, and for no others", () => {
    const parameters = [...p.variables.values()].filter(({ role }) => role === "parameter");
    const gradients = grad(
      loss,
      parameters.map(({ value }) => value),
    );
    const without = parameters.filter((_, i) => gradients[i] === undefined).map(({ name }) => name);
    expect(without.sort()).toEqual(["base_encoder.head.0.bias", "base_encoder.head.3.bias", "base_encoder.norm.bias"]);
  });
});
