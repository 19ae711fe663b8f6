import { describe, expect, it } from "vitest";
import { joint } from "../../src/objectives/joint.ts";
import { l1Anchor } from "../../src/objectives/l1-anchor.ts";
import { mae } from "../../src/objectives/mae.ts";
import { mocov3 } from "../../src/objectives/mocov3.ts";
import {
  droppedBatch,
  maeBatch,
  maeOptions,
  mocoBatch,
  mocoOptions,
  model,
  snapshot,
  tinyMae,
  tinyMoco,
  tinySimclr,
  tinySimmim,
  tinyStep,
  tinyVicreg,
} from "./tiny.ts";

const batches = { mae: maeBatch(16), mocov3: mocoBatch(16), dropped: droppedBatch(16) };
const dropping = (keys: "same" | "all") => mocov3(model, { ...mocoOptions, patchDrop: { ratio: 0.5, keys } });
const objectives = [
  ["mae", tinyMae, batches.mae],
  ["mocov3", tinyMoco, batches.mocov3],
  ["mocov3 with an L1 anchor", l1Anchor(tinyMoco, model.depth, { weight: 1e-5, blocks: 1 }), batches.mocov3],
  ["mocov3 on half of the patches", dropping("same"), batches.dropped],
  ["contrastive MAE", dropping("all"), batches.dropped],
  [
    "mae with mocov3",
    joint(mae(model, maeOptions, "base_encoder."), tinyMoco, { mimWeight: 1, clWeight: 1 }),
    { ...batches.mae, ...batches.mocov3 },
  ],
  ["simclr", tinySimclr, batches.mocov3],
  ["vicreg", tinyVicreg, batches.mocov3],
  ["simmim", tinySimmim, batches.mae],
] as const;

describe.each(objectives)("%s", (_, objective, batch) => {
  const train = async (steps: number, options = {}) => {
    const step = await tinyStep(objective, 16, options);
    step.copyFollowers();
    const start = snapshot(step);
    const losses: number[] = [];
    for (let number = 1; number <= steps; number++)
      losses.push((await step.run(batch, { number, rate: 2e-3, progress: number / steps })).loss);
    const end = snapshot(step);
    await step.release();
    return { losses, start, end, step };
  };

  it("learns in ten steps", async () => {
    const { losses } = await train(10);
    expect(losses.every(Number.isFinite)).toBe(true);
    expect(losses.at(-1)!).toBeLessThan(0.95 * losses[0]!);
  });
  it("repeats to the bit", async () => {
    const [first, second] = [await train(3), await train(3)];
    expect(second.losses).toEqual(first.losses);
    expect(second.end).toEqual(first.end);
  });
  it("leaves frozen parameters alone and moves the others", async () => {
    const { start, end, step } = await train(2, {
      rules: [{ match: "patch_embed\\.|(^|\\.)blocks\\.0\\.", frozen: true }],
    });
    let frozen = 0;
    for (const [name, { frozen: isFrozen }] of step.treatments) {
      const { trained } = step.state.entries.get(name)!;
      if (isFrozen) {
        frozen++;
        expect(trained, name).toBe(false);
      }
      if (trained) expect(end.get(name), name).not.toEqual(start.get(name));
      else expect(end.get(name), name).toEqual(start.get(name));
    }
    expect(frozen).toBe(14);
    for (const [name, { variable }] of step.state.entries)
      if (variable.role === "constant") expect(end.get(name), name).toEqual(start.get(name));
  });
});
