/** Both losses on one encoder, ready to be differentiated on the same batches as often as asked. */
import { fold, key, Random } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { backbonePattern, blocksPattern } from "../nn/vit.ts";
import type { Loader } from "../data/batches/loader.ts";
import { scaleByBatch, warmupCosine } from "../optim/schedules.ts";
import { addTo, type Agreement, agreements } from "../evaluators/conflict.ts";
import { belowPrefix } from "../evaluators/encoder.ts";
import { createStageStep, farEpoch, openStageLoader, type ResolvedStage } from "../recipe/stage.ts";
import type { Fields } from "../step/micro-batches.ts";
import { snapshot, type Step } from "../step/step.ts";
import { takeSteps } from "../step/take-steps.ts";

export type LossName = "mim" | "cl";
type Tensors = ReadonlyMap<string, Tensor>;

/** Weights of a stage: an encoder under its prefix, and what was trained with it. */
export interface Weights {
  readonly tensors: Tensors;
  readonly prefix: string;
}

/** One loss, and what it needs besides the encoder: decoder, heads, key encoder. */
export interface LossParts {
  /** Says how it is trained; see `lossesOf`. */
  readonly stage: ResolvedStage;
  /** `with` the encoder: they are among its weights. Else the weights of another stage to begin with, or nothing. */
  readonly parts: "with" | Tensors | undefined;
}

export interface ProbeOptions {
  /** Images per batch. */
  readonly batch: number;
  readonly batches: number;
  /** Of the images' order and their views; training sees none of these. Default 0. */
  readonly seed?: number | undefined;
  /** Steps for which parts that were not trained with the encoder are trained on it, frozen, first. */
  readonly warmUpSteps: number;
  readonly onProgress?: ((done: number, total: number, what: string) => void) | undefined;
}

export interface Probe {
  /** Takes over all weights of a stage in which both losses are trained. */
  load(weights: Weights): Promise<void>;
  /** One list of agreements per batch, one of the gradients averaged over all batches, and the mean of each loss. */
  measure(): Promise<{ batches: Agreement[][]; means: Agreement[]; losses: Record<LossName, number> }>;
  release(): Promise<void>;
}

/** Compiles both losses, on the weights of `encoder` when they are given. */
export async function openProbe(
  losses: Readonly<Record<LossName, LossParts>>,
  options: ProbeOptions,
  encoder?: Weights,
): Promise<Probe> {
  const { batch, batches, seed = 0, onProgress } = options;
  const views = { ...losses.mim.stage.views, ...losses.cl.stage.views };
  const loader = await openStageLoader({ ...losses.cl.stage, views, batch, microBatch: batch });
  const mim = await openLoss(losses.mim, options, encoder);
  const cl = await openLoss(losses.cl, options, encoder);
  const start = drawnEpoch("measure", seed);
  return {
    async load(weights) {
      await load(mim.step, mim.prefix, weights);
      await load(cl.step, cl.prefix, weights);
    },
    async measure() {
      const found: Agreement[][] = [];
      const sums = { mim: 0, cl: 0 };
      const totals = { mim: new Map<string, Tensor<"float64">>(), cl: new Map<string, Tensor<"float64">>() };
      for (let i = 0; i < batches; i++) {
        onProgress?.(i, batches, "measuring the conflict");
        const fields = await batchAt(loader, start, i);
        const first = await mim.step.gradients(fields);
        const second = await cl.step.gradients(fields);
        sums.mim += first.loss / batches;
        sums.cl += second.loss / batches;
        const ofMim = belowPrefix(first.gradients, mim.prefix);
        const ofCl = belowPrefix(second.gradients, cl.prefix);
        found.push(agreements(ofMim, ofCl));
        addTo(totals.mim, ofMim);
        addTo(totals.cl, ofCl);
      }
      onProgress?.(batches, batches, "");
      return { batches: found, means: agreements(totals.mim, totals.cl), losses: sums };
    },
    async release() {
      await Promise.all([loader.close(), mim.step.release(), cl.step.release()]);
    },
  };
}

/** The step of one loss, on the weights of `encoder` when they are given. */
async function openLoss({ stage, parts }: LossParts, options: ProbeOptions, encoder: Weights | undefined) {
  const { name, encoder: prefix } = stage.objective;
  // Gradients of the blocks alone: whatever is frozen costs no work.
  const onlyBlocks = [
    { match: blocksPattern(prefix), frozen: false },
    { match: "", frozen: true },
  ];
  const step = await lossStep(stage, options.batch, onlyBlocks);
  if (encoder !== undefined && parts !== "with") await step.state.write(await fitted(stage, parts, encoder, options));
  if (encoder !== undefined && parts === "with") {
    const used = new Set(await load(step, prefix, encoder));
    const missing = [...step.state.variables.keys()].find((each) => !used.has(each));
    if (missing !== undefined) throw new Error(`${name} needs a tensor ${missing}, but the checkpoint has none`);
  }
  return { step, prefix };
}

/** Decoder or heads trained on the frozen encoder: all weights of the loss. */
async function fitted(
  stage: ResolvedStage,
  parts: Tensors | undefined,
  encoder: Weights,
  { batch, warmUpSteps, seed = 0, onProgress }: ProbeOptions,
): Promise<Tensors> {
  const { name, encoder: prefix } = stage.objective;
  const step = await lossStep(stage, batch, [{ match: backbonePattern(prefix), frozen: true }]);
  const loader = await openStageLoader({ ...stage, batch, microBatch: batch });
  try {
    if (parts !== undefined) await step.state.write(parts);
    await load(step, prefix, encoder);
    await step.resetCopies(); // keys of another encoder would be no keys of this one
    const start = drawnEpoch("warm-up", seed);
    const peak = scaleByBatch(stage.learningRate, batch);
    const walk = {
      to: warmUpSteps,
      samples: (i: number) => batchAt(loader, start, i),
      at: (i: number) => ({
        rate: warmupCosine(i, { peak, warmup: 0.1 * warmUpSteps, total: warmUpSteps }),
        progress: i / warmUpSteps,
      }),
    };
    onProgress?.(0, warmUpSteps, `fitting ${name} to the encoder`);
    for await (const { done } of takeSteps(step, walk))
      onProgress?.(done, warmUpSteps, `fitting ${name} to the encoder`);
    return await snapshot(step.state);
  } finally {
    await Promise.all([loader.close(), step.release()]);
  }
}

/** The step of one loss on batches of another size. */
function lossStep(stage: ResolvedStage, batch: number, rates: ResolvedStage["rates"]): Promise<Step> {
  return createStageStep({ ...stage, batch, microBatch: commonDivisor(batch, stage.microBatch), rates });
}

/** Copies in all that has a place in `step`, an encoder under whatever prefix; returns the names that were filled. */
function load({ state }: Step, to: string, { tensors, prefix }: Weights): Promise<string[]> {
  const renamed = [...belowPrefix(tensors, prefix)].map(([name, value]) => [to + name, value] as const);
  return state.write(new Map([...tensors, ...renamed]));
}

/** An epoch of one purpose and seed, among those that no training reaches. */
function drawnEpoch(purpose: string, seed: number): number {
  return 8 * farEpoch + (new Random(fold(key(seed), "conflict", purpose)).bits() >>> 8);
}

/** Batch `i` from the beginning of epoch `start` on. */
async function batchAt(loader: Loader, start: number, i: number): Promise<Fields> {
  const { fields } = await loader.batch(start + Math.floor(i / loader.stepsPerEpoch), i % loader.stepsPerEpoch);
  return fields;
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
