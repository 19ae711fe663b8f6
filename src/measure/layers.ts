/** Which block of an encoder knows most: one question of a data set, asked of the output of every block. */
import { byLayer } from "../evaluators/by-layer.ts";
import type { Features } from "../evaluators/evaluator.ts";
import { defineSource, kindOf, type SourceInput } from "../data/sources/open.ts";
import { type Layers, writeLayers } from "../run/layers.ts";
import type { Candidate } from "./candidates.ts";
import { resolveInside, type InsideOptions, openEncoder } from "./inside.ts";
import { type TaskOptions, tasksOf } from "./tasks.ts";

export interface LayersOptions extends TaskOptions {
  /** The question: the first of this protocol that the data allow (default `knn`). */
  readonly protocol?: "knn" | "linear";
  readonly onProgress?: (done: number, total: number, what: string) => void;
}

/** More are not looked at unless the limit says so: the features of every depth are held at once. */
const manyImages = 5000;

/** Asks the encoders of a run folder, or that of one checkpoint file, and writes `layers.json`. */
export async function evaluateLayers(path: string, options: LayersOptions & InsideOptions = {}): Promise<Layers> {
  const { candidates, data, out, ...settings } = resolveInside(path, options);
  const layers = await measureLayers(candidates, data, settings);
  writeLayers(out, layers);
  return layers;
}

/** The same of any encoders; the document is returned. Throws one sentence when the images allow no question, or a candidate is no encoder. */
export async function measureLayers(
  candidates: readonly Candidate[],
  data: SourceInput,
  { protocol = "knn", onProgress, ...options }: LayersOptions = {},
): Promise<Layers> {
  const most = kindOf(defineSource(data)).questions ? undefined : manyImages; // such a source takes no limit
  const { source, tasks, reason } = await tasksOf(data, { ...options, limit: options.limit ?? most });
  const task = tasks.find((each) => each.protocol === protocol);
  if (task === undefined) throw new Error(reason ?? `${protocol} cannot be measured on these images`);
  const encoders: Layers["encoders"] = [];
  for (const [i, candidate] of candidates.entries()) {
    const { name, title } = candidate;
    onProgress?.(i, candidates.length, `${title}: ${task.label} by layer`);
    const encoder = await openEncoder(candidate);
    const ask = (features: Features) => task.run({ features: async () => features });
    const scores = await byLayer(encoder, source, ask, { device: options.device, threads: options.threads });
    await encoder.release();
    encoders.push({ name, title, scores });
  }
  onProgress?.(candidates.length, candidates.length, "");
  return { data: source.name, protocol, label: task.label, chance: task.chance, encoders };
}
