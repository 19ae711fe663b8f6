/** Plans a graft from data: how the two losses conflict in each block of the encoder that a contrastive stage starts from. */
import type { Tensor } from "../tensor/tensor.ts";
import { backbonePattern } from "../nn/vit.ts";
import { lossesIn } from "../objectives/kinds.ts";
import { planGraft } from "./rates.ts";
import { scaleByBatch, warmupCosine } from "../optim/schedules.ts";
import { distribution } from "../evaluators/conflict.ts";
import { readWeights } from "../run/checkpoint.ts";
import type { PlannedGraft } from "../run/graft-plan.ts";
import { openProbe } from "../measure/probe.ts";
import type { Stage } from "../recipe/recipe.ts";
import {
  createStageStep,
  farEpoch,
  lossesOf,
  openStageLoader,
  type ResolvedStage,
  samplesOf,
  withObjective,
} from "../recipe/stage.ts";
import { initialise, startFile } from "../recipe/start.ts";
import { snapshot } from "../step/step.ts";
import { takeSteps } from "../step/take-steps.ts";

/** The stage with a learning rate per block, as planned; the rules it has go first. */
export function withPlan<S extends Pick<Stage, "rates" | "plan">>(stage: S, { blocks }: PlannedGraft): S {
  const rates = blocks.map(({ rate }, i) => ({ match: `(^|\\.)blocks\\.${i}\\.`, rate }));
  const lowest = { match: "(^|\\.)(cls_token|patch_embed\\.)", rate: blocks[0]!.rate };
  return { ...stage, plan: undefined, rates: [...stage.rates, lowest, ...rates] };
}

/**
 * Measures and plans. On the encoder that the stage starts from, what the losses need besides it (decoder, heads) is
 * trained alone for `warmUpSteps`; then both losses train the encoder together for `jointSteps`, since at the end of MIM
 * its gradient is noise and says nothing; then both gradients are compared on `batches` batches. Rates: see `planGraft`.
 * The joint encoder is thrown away. Same seed, same plan. Throws when the stage has no `plan`.
 */
export async function measurePlan(
  dir: string,
  stage: ResolvedStage,
  onProgress?: (done: number, total: number, what: string) => void,
): Promise<PlannedGraft> {
  const { plan } = stage;
  if (plan === undefined) throw new Error(`stage ${stage.name} has no plan`);
  const { warmUpSteps, jointSteps, batches, lowest } = plan;
  const joint = jointStage(dir, stage, plan.mim);
  const { encoder } = joint.objective;
  const total = warmUpSteps + jointSteps;

  // Parts first, on a frozen encoder; then everything.
  const frozen = [{ match: backbonePattern(encoder), frozen: true }];
  const phases = [
    { what: "fitting decoder and heads", steps: warmUpSteps, rates: frozen, from: 0 },
    { what: "training both losses together", steps: jointSteps, rates: [], from: warmUpSteps },
  ];
  const peak = scaleByBatch(stage.learningRate, stage.batch);
  let [start, weights] = [new Map<string, Tensor>(), new Map<string, Tensor>()];
  for (const [phase, { what, steps, rates, from }] of phases.entries()) {
    const step = await createStageStep({ ...joint, rates });
    const loader = await openStageLoader(joint);
    if (phase === 0) await initialise(dir, joint, step);
    else await step.state.write(weights);
    start = await snapshot(step.state);
    onProgress?.(from, total, what);
    const walk = {
      to: steps,
      // no image is seen in the same way twice
      samples: (i: number) => samplesOf(loader, farEpoch * loader.stepsPerEpoch + from + i),
      // does not fall to nothing
      at: (i: number) => ({
        rate: warmupCosine(i, { peak, warmup: 0.1 * steps, total: 2 * steps }),
        progress: i / steps,
      }),
    };
    for await (const { done } of takeSteps(step, walk)) onProgress?.(from + done, total, what);
    weights = await snapshot(step.state);
    await Promise.all([loader.close(), step.release()]);
  }

  const { mim, cl } = lossesOf(joint);
  const losses = { mim: { stage: mim!, parts: "with" as const }, cl: { stage: cl!, parts: "with" as const } };
  const settings = { batch: stage.batch, batches, warmUpSteps: 0, seed: stage.seed, onProgress };
  const probe = await openProbe(losses, settings, { tensors: weights, prefix: encoder });
  const measured = await probe.measure();
  await probe.release();

  const cosines = Array.from({ length: stage.model.depth }, (_, block) =>
    measured.batches.map((batch) => batch.find((each) => each.block === block && each.group === "block")!.cosine),
  );
  const { rates, conflict, trend } = planGraft(cosines, lowest);
  const blocks = cosines.map((values, block) => {
    const { mean, deviation, negative } = distribution(values);
    const moved = movement(start, weights, `${encoder}blocks.${block}.`);
    return { cosine: mean, deviation, negative, movement: moved, conflict: conflict[block]!, rate: rates[block]! };
  });
  return { stage: stage.name, blocks, trend, lowest, warmUpSteps, jointSteps, batches };
}

/** The plan in one sentence. */
export function describePlan({ stage, blocks, trend }: PlannedGraft): string {
  const rates = blocks.map(({ rate }) => Number(rate.toPrecision(2))).join(", ");
  const why = trend
    ? "the conflict grows with depth"
    : "the conflict shows no growth with depth, so the paper's thirds";
  return `learning rates of the blocks in ${stage}, input side first: ${rates} (${why})`;
}

/** Both losses on the encoder that the stage starts from, and on the decoder where the same file has one. */
function jointStage(dir: string, stage: ResolvedStage, mim: NonNullable<Stage["plan"]>["mim"]): ResolvedStage {
  const { spec, views, init } = stage;
  const losses = lossesIn(spec);
  if (losses.cl === undefined || losses.mim !== undefined)
    throw new Error(`a graft is planned for a contrastive stage; ${stage.name} is trained by ${spec.kind}`);
  const both = { kind: "joint", mim: mim.objective, cl: losses.cl, mimWeight: 1, clWeight: 1 } as const;
  const joint = withObjective(stage, both);
  const { decoder } = joint.objective;
  const hasDecoder = (file: string) => {
    let found = false;
    readWeights(file, (name) => {
      found ||= decoder?.test(name) ?? false;
      return false;
    });
    return found;
  };
  const decoders = init
    .filter((each) => hasDecoder(startFile(dir, stage, each)))
    .map((each) => ({ ...each, from: "", to: "", match: decoder!.source }));
  return {
    ...joint,
    plan: undefined,
    views: { ...views, ...mim.views },
    init: [...init, ...decoders],
  };
}

/** ‖after - before‖ / ‖before‖ over the parameters below a prefix. */
function movement(before: ReadonlyMap<string, Tensor>, after: ReadonlyMap<string, Tensor>, prefix: string): number {
  let [change, size] = [0, 0];
  for (const [name, { data }] of before) {
    if (!name.startsWith(prefix)) continue;
    const moved = after.get(name)!.data;
    for (let i = 0; i < data.length; i++) {
      change += (Number(moved[i]) - Number(data[i])) ** 2;
      size += Number(data[i]) ** 2;
    }
  }
  return Number(Math.sqrt(change / size).toPrecision(6));
}
