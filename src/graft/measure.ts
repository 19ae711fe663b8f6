/** Plans a graft from data: how the two losses conflict in each block of the encoder that a contrastive stage starts from. */
import type { Tensor } from "../tensor/tensor.ts";
import { planGraft } from "./rates.ts";
import { scaleByBatch, warmupCosine } from "../optim/schedules.ts";
import { distribution } from "../evaluators/conflict.ts";
import { readWeights } from "../run/checkpoint.ts";
import type { PlannedGraft } from "../run/graft-plan.ts";
import { openProbe } from "../measure/conflict.ts";
import { lossesOf, objectiveOf, type Recipe, type Stage } from "../recipe/recipe.ts";
import { createStageStep, openStageLoader, samplesOf } from "../recipe/stage.ts";
import { initialise, startFile } from "../recipe/start.ts";
import type { Step } from "../step/step.ts";

/** The stage with a learning rate per block, as planned; the rules it has go first. */
export function withPlan(stage: Stage, { blocks }: PlannedGraft): Stage {
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
  recipe: Recipe,
  stage: Stage,
  onProgress?: (done: number, total: number, what: string) => void,
): Promise<PlannedGraft> {
  const { plan } = stage;
  if (plan === undefined) throw new Error(`stage ${stage.name} has no plan`);
  const { warmUpSteps, jointSteps, batches, lowest } = plan;
  const joint = jointStage(dir, stage, plan.mim);
  const { encoder } = objectiveOf(recipe, joint);
  const backbone = `^${encoder.replaceAll(".", "\\.")}(cls_token|pos_embed|patch_embed\\.|blocks\\.|norm\\.)`;
  const total = warmUpSteps + jointSteps;

  // Parts first, on a frozen encoder; then everything.
  let weights: ReadonlyMap<string, Tensor> | undefined;
  const phases = [
    { what: "fitting decoder and heads", steps: warmUpSteps, rates: [{ match: backbone, frozen: true }], from: 0 },
    { what: "training both losses together", steps: jointSteps, rates: [], from: warmUpSteps },
  ];
  let start: ReadonlyMap<string, Tensor> | undefined;
  for (const { what, steps, rates, from } of phases) {
    const step = await createStageStep(recipe, { ...joint, rates });
    const loader = await openStageLoader(recipe, joint);
    if (weights === undefined) initialise(dir, recipe, joint, step);
    else step.state.load(weights);
    start = copy(step);
    const peak = scaleByBatch(stage.learningRate, stage.batch);
    for (let i = 0; i < steps; i++) {
      onProgress?.(from + i, total, what);
      const at = from + i; // no image is seen in the same way twice
      const samples = samplesOf(loader, farAway * loader.stepsPerEpoch + at);
      const rate = warmupCosine(i, { peak, warmup: 0.1 * steps, total: 2 * steps }); // does not fall to nothing
      await step.run(samples, { number: i + 1, rate, progress: i / steps });
    }
    weights = copy(step);
    await Promise.all([loader.close(), step.release()]);
  }

  const { mim, cl } = lossesOf(recipe, joint);
  const losses = { mim: { stage: mim!, parts: "with" as const }, cl: { stage: cl!, parts: "with" as const } };
  const settings = { batch: stage.batch, batches, warmUpSteps: 0, seed: recipe.seed, onProgress };
  const probe = await openProbe(recipe, losses, settings, { tensors: weights!, prefix: encoder });
  const measured = await probe.measure();
  await probe.release();

  const cosines = Array.from({ length: recipe.model.depth }, (_, block) =>
    measured.batches.map((batch) => batch.find((each) => each.block === block && each.group === "block")!.cosine),
  );
  const { rates, conflict, trend } = planGraft(cosines, lowest);
  const blocks = cosines.map((values, block) => {
    const { mean, deviation, negative } = distribution(values);
    const moved = movement(start!, weights!, `${encoder}blocks.${block}.`);
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

/** An epoch that no training reaches. */
const farAway = 2 ** 21;

/** Both losses on the encoder that the stage starts from, and on the decoder where the same file has one. */
function jointStage(dir: string, stage: Stage, mim: NonNullable<Stage["plan"]>["mim"]): Stage {
  const { objective, views, init } = stage;
  if (objective.kind === "joint" || objective.kind === "mae" || objective.kind === "simmim")
    throw new Error(`a graft is planned for a contrastive stage; ${stage.name} is trained by ${objective.kind}`);
  const decoder = /^(decoder|mask_token)/;
  const hasDecoder = (file: string) => {
    let found = false;
    readWeights(file, (name) => {
      found ||= decoder.test(name);
      return false;
    });
    return found;
  };
  const decoders = init
    .filter((each) => hasDecoder(startFile(dir, stage, each)))
    .map((each) => ({ ...each, from: "", to: "", match: decoder.source }));
  return {
    ...stage,
    plan: undefined,
    objective: {
      kind: "joint",
      mim: mim.objective,
      cl: { ...objective, l1Anchor: undefined },
      mimWeight: 1,
      clWeight: 1,
    },
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

function copy(step: Step): Map<string, Tensor> {
  const tensors = [...step.state.tensors()].filter(([name]) => !name.startsWith("optimizer."));
  return new Map(tensors.map(([name, value]) => [name, { ...value, data: value.data.slice() }]));
}
