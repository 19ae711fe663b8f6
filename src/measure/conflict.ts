/** Measures on a trained encoder how the gradients of masked image modelling and of contrast lie to each other. */
import { basename } from "node:path";
import { fold, key, Random } from "../tensor/random.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { addTo, type Agreement, agreements, conflictRows } from "../evaluators/conflict.ts";
import { belowPrefix, checkpointFile } from "../evaluators/encoder.ts";
import type { Batch, Loader } from "../data/batches/loader.ts";
import { scaleByBatch, warmupCosine } from "../optim/schedules.ts";
import { listCheckpoints, readCheckpoint } from "../run/checkpoint.ts";
import { type Conflict, writeConflict } from "../run/conflict.ts";
import { openRun } from "../run/folder.ts";
import { defineRecipe, lossesOf, objectiveOf, type Recipe, type Stage } from "../recipe/recipe.ts";
import { createStageStep, openStageLoader } from "../recipe/stage.ts";
import type { Step } from "../step/step.ts";

type LossName = "mim" | "cl";
type Tensors = ReadonlyMap<string, Tensor>;

/** Weights of a stage: an encoder under its prefix, and what was trained with it. */
export interface Weights {
  readonly tensors: Tensors;
  readonly prefix: string;
}

/** One loss, and what it needs besides the encoder: decoder, heads, key encoder. */
export interface LossParts {
  /** Says how it is trained; see `lossesOf`. */
  readonly stage: Stage;
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

/** Both losses on one encoder, ready to be differentiated on the same batches as often as asked. */
export interface Probe {
  /** Takes over all weights of a stage in which both losses are trained. */
  load(weights: Weights): void;
  /** One list of agreements per batch, one of the gradients averaged over all batches, and the mean of each loss. */
  measure(): Promise<{ batches: Agreement[][]; means: Agreement[]; losses: Record<LossName, number> }>;
  release(): Promise<void>;
}

export interface ConflictOptions extends Partial<ProbeOptions> {
  /** Whose encoder; default: the last stage that has a checkpoint. */
  readonly stage?: string | undefined;
  /** Stages to take a loss from that the run itself does not have. */
  readonly fallback?: readonly Stage[] | undefined;
  readonly threads?: number | undefined;
}

/**
 * Measures the conflict of the two losses on the encoder of a run and writes `conflict.json` and `conflict.csv`. Decoder and
 * heads are those of the encoder's stage, else those of another stage of the run, else fresh; in the last two cases they
 * are first trained on the frozen encoder, since the gradient through parts that do not know it says little about it.
 * Same seed, same numbers. Throws one sentence when the run has no checkpoint, or one of the losses comes from nowhere.
 */
export async function measureConflict(dir: string, options: ConflictOptions = {}): Promise<Conflict> {
  const { stage: wanted, fallback = [], threads, batches = 64, warmUpSteps = 200, seed = 0, onProgress } = options;
  const saved = defineRecipe(openRun(dir).recipe);
  const recipe = threads === undefined ? saved : { ...saved, threads };
  const path = checkpointFile(dir, wanted);
  const { tensors, metadata } = readCheckpoint(path, isWeight);
  const own = metadata["stage"]!;
  const mim = findLoss(dir, recipe, "mim", own, fallback);
  const cl = findLoss(dir, recipe, "cl", own, fallback);
  const batch = options.batch ?? cl.stage.batch;
  const settings = { batch, batches, warmUpSteps, seed, onProgress };
  const encoder = { tensors, prefix: metadata["encoder"] ?? "" };
  const probe = await openProbe(recipe, { mim, cl }, settings, encoder);
  try {
    const measured = await probe.measure();
    const describe = ({ stage, partsOf, parts }: Found, loss: number) => ({
      objective: objectiveOf(recipe, stage).name,
      ...(partsOf === undefined ? {} : { partsOf }),
      warmUpSteps: parts === "with" ? 0 : warmUpSteps,
      loss: Number(loss.toPrecision(6)),
    });
    const conflict: Conflict = {
      encoder: { stage: own, step: Number(metadata["step"]), checkpoint: basename(path) },
      mim: describe(mim, measured.losses.mim),
      cl: describe(cl, measured.losses.cl),
      batches,
      batch,
      seed,
      ...conflictRows(measured.batches, measured.means),
    };
    writeConflict(dir, conflict);
    return conflict;
  } finally {
    await probe.release();
  }
}

/** Compiles both losses, on the weights of `encoder` when they are given. */
export async function openProbe(
  recipe: Recipe,
  losses: Readonly<Record<LossName, LossParts>>,
  options: ProbeOptions,
  encoder?: Weights,
): Promise<Probe> {
  const { batch, batches, seed = 0, onProgress } = options;
  const views = { ...losses.mim.stage.views, ...losses.cl.stage.views };
  const loader = await openStageLoader(recipe, { ...losses.cl.stage, views, batch, microBatch: batch });
  const open = async ({ stage, parts }: LossParts) => {
    // Gradients of the blocks alone: whatever is frozen costs no work.
    const { name, encoder: prefix } = objectiveOf(recipe, stage);
    const onlyBlocks = [
      { match: `^${literal(prefix)}blocks\\.`, frozen: false },
      { match: "", frozen: true },
    ];
    const step = await lossStep(recipe, stage, batch, onlyBlocks);
    if (encoder === undefined) return step;
    if (parts !== "with") step.state.load(await fitted(recipe, stage, parts, encoder, options));
    else {
      const used = new Set(load(step, prefix, encoder));
      const missing = [...step.state.entries.keys()].find((each) => !used.has(each));
      if (missing !== undefined) throw new Error(`${name} needs a tensor ${missing}, but the checkpoint has none`);
    }
    return step;
  };
  const mim = await open(losses.mim);
  const cl = await open(losses.cl);
  const prefixes = {
    mim: objectiveOf(recipe, losses.mim.stage).encoder,
    cl: objectiveOf(recipe, losses.cl.stage).encoder,
  };
  const start = farEpoch("measure", seed);
  return {
    load(weights) {
      load(mim, prefixes.mim, weights);
      load(cl, prefixes.cl, weights);
    },
    async measure() {
      const found: Agreement[][] = [];
      const sums = { mim: 0, cl: 0 };
      const totals = { mim: new Map<string, Tensor<"float64">>(), cl: new Map<string, Tensor<"float64">>() };
      for (let i = 0; i < batches; i++) {
        onProgress?.(i, batches, "measuring the conflict");
        const { fields } = await batchAt(loader, start, i);
        const first = await mim.gradients(fields);
        const second = await cl.gradients(fields);
        sums.mim += first.loss / batches;
        sums.cl += second.loss / batches;
        const ofMim = belowPrefix(first.gradients, prefixes.mim);
        const ofCl = belowPrefix(second.gradients, prefixes.cl);
        found.push(agreements(ofMim, ofCl));
        addTo(totals.mim, ofMim);
        addTo(totals.cl, ofCl);
      }
      onProgress?.(batches, batches, "");
      return { batches: found, means: agreements(totals.mim, totals.cl), losses: sums };
    },
    async release() {
      await Promise.all([loader.close(), mim.release(), cl.release()]);
    },
  };
}

/** A loss of the run: of the encoder's own stage, else of the last finished one, else of any, else of `fallback`. */
interface Found extends LossParts {
  readonly partsOf?: string;
}

function findLoss(dir: string, recipe: Recipe, name: LossName, own: string, fallback: readonly Stage[]): Found {
  const having = (stages: readonly Stage[]) => stages.flatMap((stage) => lossesOf(recipe, stage)[name] ?? []);
  const found = having(recipe.stages);
  const here = found.find((stage) => stage.name === own);
  if (here !== undefined) return { stage: here, parts: "with", partsOf: own };
  const finals = listCheckpoints(dir).filter(({ final }) => final);
  for (const stage of found.toReversed()) {
    const checkpoint = finals.find((each) => each.stage === stage.name);
    if (checkpoint !== undefined)
      return { stage, parts: readCheckpoint(checkpoint.path, isWeight).tensors, partsOf: stage.name };
  }
  const stage = found[0] ?? having(fallback)[0];
  if (stage !== undefined) return { stage, parts: undefined };
  const what = name === "mim" ? "masked image modelling" : "contrast";
  throw new Error(`no stage of the run in ${dir} is trained by ${what}: name one in \`fallback\``);
}

/** Decoder or heads trained on the frozen encoder: all weights of the loss. */
async function fitted(
  recipe: Recipe,
  stage: Stage,
  parts: Tensors | undefined,
  encoder: Weights,
  { batch, warmUpSteps, seed = 0, onProgress }: ProbeOptions,
): Promise<Tensors> {
  const { name, encoder: prefix } = objectiveOf(recipe, stage);
  const step = await lossStep(recipe, stage, batch, [{ match: `^${literal(prefix)}${backbone}`, frozen: true }]);
  const loader = await openStageLoader(recipe, { ...stage, batch, microBatch: batch });
  try {
    if (parts !== undefined) step.state.load(parts);
    load(step, prefix, encoder);
    step.copyFollowers(); // keys of another encoder would be no keys of this one
    const start = farEpoch("warm-up", seed);
    const peak = scaleByBatch(stage.learningRate, batch);
    for (let i = 0; i < warmUpSteps; i++) {
      onProgress?.(i, warmUpSteps, `fitting ${name} to the encoder`);
      const { fields } = await batchAt(loader, start, i);
      const rate = warmupCosine(i, { peak, warmup: 0.1 * warmUpSteps, total: warmUpSteps });
      await step.run(fields, { number: i + 1, rate, progress: i / warmUpSteps });
    }
    return new Map([...step.state.tensors()].filter(([name]) => isWeight(name)));
  } finally {
    await Promise.all([loader.close(), step.release()]);
  }
}

/** The step of one loss on batches of another size. */
function lossStep(recipe: Recipe, stage: Stage, batch: number, rates: Stage["rates"]): Promise<Step> {
  return createStageStep(recipe, { ...stage, batch, microBatch: commonDivisor(batch, stage.microBatch), rates });
}

/** Copies in all that has a place in `step`, an encoder under whatever prefix; returns the names that were filled. */
function load(step: Step, to: string, { tensors, prefix }: Weights): string[] {
  return step.state.load(
    new Map([...tensors, ...[...belowPrefix(tensors, prefix)].map(([name, value]) => [to + name, value] as const)]),
  );
}

/** Timm's names of an encoder's parameters, below the prefix. */
const backbone = "(cls_token|pos_embed|patch_embed\\.|blocks\\.|norm\\.)";

function literal(prefix: string): string {
  return prefix.replaceAll(".", "\\.");
}

/**
 * An epoch that no training reaches. So the draws are new, while the images are those of the run: where it has a limit, its
 * own seed chooses them.
 */
function farEpoch(purpose: string, seed: number): number {
  return 2 ** 24 + (new Random(fold(key(seed), "conflict", purpose)).bits() >>> 8);
}

/** Batch `i` from the beginning of epoch `start` on. */
function batchAt(loader: Loader, start: number, i: number): Promise<Batch> {
  return loader.batch(start + Math.floor(i / loader.stepsPerEpoch), i % loader.stepsPerEpoch);
}

function isWeight(name: string): boolean {
  return !name.startsWith("optimizer.");
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b);
}
