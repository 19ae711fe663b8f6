/**
 * Checkpoints: the whole training state as one safetensors file, `checkpoints/1-mim-00000480.safetensors`.
 * Encoder parameters keep timm's names; optimizer moments are `optimizer.m.<name>` and `optimizer.v.<name>`.
 * A file holds no time and no machine, so two identical runs write identical bytes.
 */
import { createHash } from "node:crypto";
import { existsSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { encodeSafetensors, type TensorFile } from "../tensor/safetensors.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { syncFolder, writeFileAtomic } from "./atomic.ts";
import { messageOf } from "./errors.ts";
import { readTensorFile } from "./tensor-file.ts";

/** What a checkpoint's file name says. */
export interface CheckpointName {
  readonly path: string;
  /** Position of the stage in the recipe, from 1, and its name. */
  readonly stageIndex: number;
  readonly stage: string;
  /** Optimizer steps done in this stage. */
  readonly step: number;
  /** Whether the stage ended here. The name says so, because pruning must know without reading gigabytes. */
  readonly final: boolean;
}

export interface CheckpointContents {
  readonly stageIndex: number;
  readonly stage: string;
  readonly step: number;
  readonly final?: boolean;
  readonly tensors: ReadonlyMap<string, Tensor>;
  /** Further strings for the header. Keep times and paths out of it. */
  readonly metadata?: Readonly<Record<string, string>>;
}

/** Writes a checkpoint atomically and in chunks; returns its name. */
export function saveCheckpoint(dir: string, contents: CheckpointContents): CheckpointName {
  const { stageIndex, stage, step, final = false, tensors } = contents;
  if (!/^[A-Za-z0-9][\w.-]*$/.test(stage))
    throw new Error(`stage name "${stage}" cannot be a file name; use letters, digits, "-" and "_"`);
  const name = `${stageIndex}-${stage}-${String(step).padStart(8, "0")}${final ? ".final" : ""}.safetensors`;
  const path = join(dir, "checkpoints", name);
  const place = { stage, stageIndex: String(stageIndex), step: String(step), final: String(final) };
  writeWeights(path, tensors, { ...contents.metadata, ...place });
  return { path, stageIndex, stage, step, final };
}

/** Writes tensors with their checksum, atomically and in chunks. */
export function writeWeights(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
): void {
  const [, ...bodies] = encodeSafetensors(tensors);
  const hash = createHash("sha256");
  for (const body of bodies) for (const chunk of chunksOf(body)) hash.update(chunk);
  writeFileAtomic(path, encodeSafetensors(tensors, { ...metadata, sha256: hash.digest("hex") }));
}

/**
 * Reads a checkpoint and verifies its checksum; `only` leaves out tensors, say the optimizer's, to save memory.
 * Throws one sentence that starts with the path when the file is damaged.
 */
export function readCheckpoint(path: string, only?: (name: string) => boolean): TensorFile {
  const file = readWeights(path, only);
  if (file.metadata["sha256"] === undefined)
    throw new Error(
      `${path} has no sha256 in its header; it was not written by layergraft as a checkpoint. ` +
        `If it holds an encoder, make a checkpoint of it: layergraft import ${path}`,
    );
  return file;
}

/** Reads any safetensors file; a checksum is verified where there is one. */
export function readWeights(path: string, only?: (name: string) => boolean): TensorFile {
  const { metadata, tensors, sha256 } = readTensorFile(path, only);
  if (metadata["sha256"] !== undefined && sha256 !== metadata["sha256"])
    throw new Error(`${path} is damaged: its tensors do not match its checksum; delete it to use an earlier one`);
  return { metadata, tensors };
}

/** All checkpoints by name, oldest first; nothing is read. At one step the final one comes last. */
export function listCheckpoints(dir: string): CheckpointName[] {
  const folder = join(dir, "checkpoints");
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .map((name) => parseName(join(folder, name)))
    .filter((checkpoint) => checkpoint !== undefined)
    .sort((a, b) => a.stageIndex - b.stageIndex || a.step - b.step || Number(a.final) - Number(b.final));
}

/** The newest checkpoint that is whole, and why each newer one was passed over. */
export interface LatestCheckpoint {
  readonly checkpoint: CheckpointName | undefined;
  readonly skipped: readonly { readonly path: string; readonly reason: string }[];
}

/** Finds the newest checkpoint that passes its checksum. Damaged ones are reported, never deleted. */
export function latestCheckpoint(dir: string): LatestCheckpoint {
  const skipped: { path: string; reason: string }[] = [];
  for (const checkpoint of listCheckpoints(dir).toReversed()) {
    try {
      readCheckpoint(checkpoint.path, () => false);
      return { checkpoint, skipped };
    } catch (error) {
      skipped.push({ path: checkpoint.path, reason: messageOf(error) });
    }
  }
  return { checkpoint: undefined, skipped };
}

/** Deletes all but the newest `keep` checkpoints and each stage's final one; returns the deleted paths. */
export function pruneCheckpoints(dir: string, options: { keep: number }): string[] {
  if (!(options.keep >= 1)) throw new Error(`keep must be at least 1 checkpoint, but is ${options.keep}`);
  const deleted = listCheckpoints(dir)
    .slice(0, -options.keep)
    .filter(({ final }) => !final)
    .map(({ path }) => path);
  for (const path of deleted) rmSync(path);
  if (deleted.length > 0) syncFolder(join(dir, "checkpoints"));
  return deleted;
}

function parseName(path: string): CheckpointName | undefined {
  const match = /^(\d+)-([A-Za-z0-9][\w.-]*)-(\d{8,})(\.final)?\.safetensors$/.exec(basename(path));
  if (match === null) return undefined;
  const [, stageIndex, stage, step, final] = match;
  return { path, stageIndex: Number(stageIndex), stage: stage!, step: Number(step), final: final !== undefined };
}

/** Node's hashes take less than 2 GiB a call. */
function* chunksOf(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 2 ** 26) yield bytes.subarray(at, at + 2 ** 26);
}
