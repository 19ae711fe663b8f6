/** Whose inside is looked at, on which images, and where the findings go. */
import { basename } from "node:path";
import type { DeviceOptions } from "../backend/device.ts";
import type { SourceInput } from "../data/sources/open.ts";
import { type Encoder, loadEncoder } from "../evaluators/encoder.ts";
import { type Candidate, candidatesAt } from "./candidates.ts";

export interface InsideOptions {
  /** Default: what the run was trained on. */
  readonly data?: SourceInput | undefined;
  /** Names of the encoders, as for `evaluate` (default: random and every finished stage, or the checkpoint's). */
  readonly encoders?: readonly string[] | undefined;
  /** Run folders and checkpoints whose last encoders are put beside these. */
  readonly against?: readonly string[] | undefined;
  /** The folder for documents and pictures (default: the run folder; a checkpoint has none). */
  readonly out?: string | undefined;
}

/** The options with the run's own where they leave something open. Throws when a checkpoint leaves open too much. */
export function resolveInside<O extends InsideOptions & DeviceOptions & { readonly seed?: number }>(
  path: string,
  { data, encoders, against = [], out, ...rest }: O,
) {
  const { candidates, recipe } = candidatesAt(path, { encoders, device: rest.device, threads: rest.threads });
  const { seed = recipe?.seed, device = recipe?.device, threads = recipe?.threads } = rest;
  const images = data ?? recipe?.data;
  const folder = out ?? (recipe === undefined ? undefined : path);
  if (images === undefined || folder === undefined)
    throw new Error(`${path} is a checkpoint without a run: say which images to look at, and which folder to write to`);
  const own = candidates.filter(({ name }) => encoders !== undefined || name !== "pixels"); // they have no inside
  const others = against.map((other, i): Candidate => ({
    name: `against-${i + 1}`,
    title: basename(other, ".safetensors"),
    open: () => loadEncoder(other, { device, threads }),
  }));
  return { ...rest, seed, device, threads, candidates: [...own, ...others], data: images, out: folder };
}

/** A candidate that has layers. Throws when it has none. */
export async function openEncoder({ title, open }: Candidate): Promise<Encoder> {
  const opened = await open();
  if ("model" in opened) return opened;
  await opened.release();
  throw new Error(`${title} have no layers to look into; leave them out of the encoders`);
}
