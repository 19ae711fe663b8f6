import { expect, it } from "vitest";
import { layerOf } from "../../src/nn/vit.ts";
import { l1Anchor } from "../../src/objectives/l1-anchor.ts";
import { expectAllclose } from "../helpers.ts";
import { mocoBatch, model, tinyMoco, tinyStep } from "./tiny.ts";

const options = { weight: 0.01, blocks: 1 };
const anchored = l1Anchor(tinyMoco, model.depth, options);
const batch = mocoBatch(8);

it("has no value and no gradient at the start", async () => {
  const [plain, step] = [await tinyStep(tinyMoco, 8), await tinyStep(anchored, 8)];
  await plain.resetCopies();
  await step.resetCopies();
  const [without, withAnchor] = [await plain.gradients(batch), await step.gradients(batch)];
  expect(withAnchor.loss).toBe(without.loss);
  for (const [name, { data }] of without.gradients)
    expectAllclose(withAnchor.gradients.get(name)!.data, data, { absolute: 1e-7 }, name);
  await Promise.all([plain.release(), step.release()]);
});

it("is the plain sum of distances over embeddings and the lower blocks", async () => {
  const [plain, step] = [await tinyStep(tinyMoco, 8), await tinyStep(anchored, 8)];
  await plain.resetCopies();
  await step.resetCopies();
  let distance = 0;
  let moved = 0;
  const values = await step.state.read();
  for (const [name, { role }] of step.state.variables) {
    if (role !== "parameter" || !name.startsWith("base_encoder.")) continue;
    const { data } = values.get(name)!;
    for (const [i, x] of data.entries()) {
      data[i] = x + (i % 2 === 0 ? 0.001 : -0.002);
      if (layerOf(name, model.depth) <= options.blocks) distance += Math.abs(data[i] - x);
    }
    moved++;
  }
  const ofBase = new Map([...values].filter(([name]) => name.startsWith("base_encoder.")));
  for (const { state } of [plain, step]) await state.write(ofBase);
  expect(moved).toBeGreaterThan(20);
  const [without, withAnchor] = [await plain.gradients(batch), await step.gradients(batch)];
  expect(Math.abs(withAnchor.loss - without.loss - options.weight * distance)).toBeLessThan(
    1e-4 * options.weight * distance + 1e-6,
  );
  for (const [name, { data }] of without.gradients) {
    const isAnchored = name.startsWith("base_encoder.") && layerOf(name, model.depth) <= options.blocks;
    const expected = (data as Float32Array).map(
      (g, i) => g + (isAnchored ? (i % 2 === 0 ? 1 : -1) * options.weight : 0),
    );
    expectAllclose(withAnchor.gradients.get(name)!.data, expected, { absolute: 1e-6 }, name);
  }
  const { loss, metrics } = await step.run(batch, { number: 1, rate: 0, progress: 1 });
  expect(Math.abs(loss - metrics["task"]! - options.weight * distance)).toBeLessThan(
    1e-4 * options.weight * distance + 1e-6,
  );
  await Promise.all([plain.release(), step.release()]);
});
