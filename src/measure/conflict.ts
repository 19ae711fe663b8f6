/** Measures on a trained encoder how the gradients of masked image modelling and of contrast lie to each other. */
import { basename } from "node:path";
import type { DeviceOptions } from "../backend/device.ts";
import { conflictRows } from "../evaluators/conflict.ts";
import { checkpointFile } from "../evaluators/encoder.ts";
import { listCheckpoints, readCheckpoint } from "../run/checkpoint.ts";
import { type Conflict, writeConflict } from "../run/conflict.ts";
import { openRun } from "../run/folder.ts";
import { defineRecipe, type Stage } from "../recipe/recipe.ts";
import { lossesOf, type ResolvedStage, resolveStage, resolveStages } from "../recipe/stage.ts";
import { type LossName, type LossParts, openProbe, type ProbeOptions } from "./probe.ts";

/** Device and threads: by default the run's. */
export interface ConflictOptions extends Partial<ProbeOptions>, DeviceOptions {
  /** Whose encoder; default: the last stage that has a checkpoint. */
  readonly stage?: string | undefined;
  /** Stages to take a loss from that the run itself does not have. */
  readonly fallback?: readonly Stage[] | undefined;
}

/**
 * Measures the conflict of the two losses on the encoder of a run and writes `conflict.json` and `conflict.csv`. Decoder and
 * heads are those of the encoder's stage, else those of another stage of the run, else fresh; in the last two cases they
 * are first trained on the frozen encoder, since the gradient through parts that do not know it says little about it.
 * Same seed, same numbers. Throws one sentence when the run has no checkpoint, or one of the losses comes from nowhere.
 */
export async function measureConflict(dir: string, options: ConflictOptions = {}): Promise<Conflict> {
  const { stage: wanted, fallback = [], batches = 64, warmUpSteps = 200, seed = 0, onProgress } = options;
  const saved = defineRecipe(openRun(dir).recipe);
  const { device = saved.device, threads = saved.threads } = options;
  const recipe = { ...saved, device, threads };
  const path = checkpointFile(dir, wanted);
  const { tensors, metadata } = readCheckpoint(path, isWeight);
  const own = metadata["stage"]!;
  const stages = resolveStages(recipe);
  const others = fallback.map((stage) => resolveStage(recipe, stage));
  const mim = findLoss(dir, stages, "mim", own, others);
  const cl = findLoss(dir, stages, "cl", own, others);
  const batch = options.batch ?? cl.stage.batch;
  const settings = { batch, batches, warmUpSteps, seed, onProgress };
  const encoder = { tensors, prefix: metadata["encoder"] ?? "" };
  const probe = await openProbe({ mim, cl }, settings, encoder);
  try {
    const measured = await probe.measure();
    const describe = ({ stage, partsOf, parts }: Found, loss: number) => ({
      objective: stage.objective.name,
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

/** A loss of the run: of the encoder's own stage, else of the last finished one, else of any, else of `fallback`. */
interface Found extends LossParts {
  readonly partsOf?: string;
}

function findLoss(
  dir: string,
  stages: readonly ResolvedStage[],
  name: LossName,
  own: string,
  fallback: readonly ResolvedStage[],
): Found {
  const having = (all: readonly ResolvedStage[]) => all.flatMap((stage) => lossesOf(stage)[name] ?? []);
  const found = having(stages);
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

function isWeight(name: string): boolean {
  return !name.startsWith("optimizer.");
}
