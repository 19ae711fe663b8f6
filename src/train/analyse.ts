/** Looks into the encoders of a run: how features are spread, where attention goes, who is like whom, a map of the images. */
import { mkdirSync } from "node:fs";
import { basename, join } from "node:path";
import { defineSource, openSource, type Source, type SourceInput } from "../data/source.ts";
import { sample, subset } from "../data/subset.ts";
import { cka, gram } from "../evaluators/cka.ts";
import { loadEncoder } from "../evaluators/encoder.ts";
import { openInside } from "../evaluators/inside.ts";
import { statistics } from "../evaluators/statistics.ts";
import { type Analysis, writeAnalysis } from "../run/analysis.ts";
import { messageOf } from "../run/errors.ts";
import { type Layers, writeLayers } from "../run/layers.ts";
import { drawAttention, drawMap, type Seen } from "./analysis-pictures.ts";
import { type Contender, subjectsAt } from "./evaluate.ts";
import { type LayersOptions, measureLayers, openEncoder } from "./layers.ts";
import { type TaskOptions, tasksOf } from "./tasks.ts";

export interface AnalyseOptions extends LayersOptions {
  /** Default: what the run was trained on; of data in splits the test images are looked at. */
  readonly data?: SourceInput;
  /** Names of the encoders, as for `evaluate` (default: random and every finished stage, or the checkpoint's). */
  readonly contenders?: readonly string[];
  /** Run folders and checkpoints whose last encoders are put beside these. */
  readonly against?: readonly string[];
  /** Look at so many images at most (default 600). Accuracy by layer is measured on all. */
  readonly images?: number;
  /** The folder for documents and pictures (default: the run folder; a checkpoint has none). */
  readonly out?: string;
}

/**
 * Analyses the encoders of a run folder, or that of one checkpoint file, and writes `analysis.json` with its pictures in
 * `samples/` and, where the images have classes, `layers.json`. Same seed, same files. Throws one sentence when there is
 * nothing to analyse.
 */
export async function analyse(
  path: string,
  options: AnalyseOptions = {},
): Promise<{ analysis: Analysis; layers?: Layers }> {
  const { entrants, data, out, ...settings } = subjectOf(path, options);
  const { tasks, reason } = await tasksOf(data, settings);
  const analysis = await analyseEncoders(out, entrants, data, settings);
  if (tasks.length === 0) {
    const whole = { ...analysis, notes: [...(analysis.notes ?? []), `Accuracy by layer was not measured: ${reason}.`] };
    writeAnalysis(out, whole);
    return { analysis: whole };
  }
  const layers = await measureLayers(entrants, data, settings);
  writeAnalysis(out, analysis);
  writeLayers(out, layers);
  return { analysis, layers };
}

/** Whose encoders, on which images, and where to. */
function subjectOf(path: string, { data, contenders, against = [], out, ...rest }: AnalyseOptions) {
  const { entrants, recipe } = subjectsAt(path, { contenders, threads: rest.threads });
  const { seed = recipe?.seed, threads = recipe?.threads } = rest;
  const images = data ?? recipe?.data;
  const folder = out ?? (recipe === undefined ? undefined : path);
  if (images === undefined || folder === undefined)
    throw new Error(`${path} is a checkpoint without a run: say which images to look at, and which folder to write to`);
  const own = entrants.filter(({ name }) => contenders !== undefined || name !== "pixels"); // they have no inside
  const others = against.map((other, i): Contender => ({
    name: `against-${i + 1}`,
    title: basename(other, ".safetensors"),
    open: () => loadEncoder(other, { threads }),
  }));
  return { ...rest, seed, threads, entrants: [...own, ...others], data: images, out: folder };
}

/** The same of any encoders, without accuracy by layer. Pictures go to `samples/` of the folder; the document is returned. */
export async function analyseEncoders(
  dir: string,
  entrants: readonly Contender[],
  data: SourceInput,
  { images = 600, onProgress, ...options }: Omit<AnalyseOptions, "data" | "contenders" | "against" | "out"> = {},
): Promise<Analysis> {
  const { seed = 0, threads } = options;
  const all = sample(await lookedAt(data, options), images, seed);
  const { readable, problem } = await readableOf(all);
  if (readable.length < 2)
    throw new Error(problem ?? `an analysis needs two images or more, but ${all.name} shows ${readable.length}`);
  const source = subset(all, readable);
  const seen: Seen[] = [];
  for (const [i, entrant] of entrants.entries()) {
    onProgress?.(i, entrants.length, `${entrant.title}: looking inside`);
    seen.push(await lookInto(entrant, source, threads));
  }
  onProgress?.(entrants.length, entrants.length, "");
  mkdirSync(join(dir, "samples"), { recursive: true });
  const map = await drawMap(dir, source, seen, seed);
  const left = all.length - readable.length;
  const notes = [
    ...(left === 0 ? [] : [`${left} of ${all.length} images were left out; the first: ${problem}`]),
    ...("reason" in map ? [map.reason] : []),
  ];
  return {
    data: all.name,
    imageSize: seen[0]!.model.imageSize,
    encoders: seen.map(describe),
    attention: await drawAttention(dir, source, seen, seed),
    similarities: similarities(seen),
    ...("reason" in map ? {} : { map }),
    ...(notes.length === 0 ? {} : { notes }),
  };
}

/** Images that nobody trained on, where the data set allows it. */
async function lookedAt(data: SourceInput, options: TaskOptions): Promise<Source> {
  const spec = defineSource(data);
  // Emoji are shown in their nine groups: a hundred subgroups are too many colours.
  if (spec.kind === "emoji") return openSource({ ...spec, split: "test", label: "group" });
  return (await tasksOf(spec, options)).shown;
}

async function readableOf(source: Source): Promise<{ readable: number[]; problem?: string }> {
  const readable: number[] = [];
  let problem: string | undefined;
  for (let i = 0; i < source.length; i++)
    await source.load(i).then(
      () => readable.push(i),
      (error: unknown) => (problem ??= messageOf(error)),
    );
  return { readable, ...(problem === undefined ? {} : { problem }) };
}

async function lookInto(entrant: Contender, source: Source, threads: number | undefined): Promise<Seen> {
  const { name, title } = entrant;
  const encoder = await openEncoder(entrant);
  const inside = await openInside(encoder, ["features", "tokens", "distances", "attention"], { threads });
  const found = await inside.look(source);
  await Promise.all([inside.release(), encoder.release()]);
  return { name, title, model: encoder.model, view: encoder.view, ...found };
}

function describe({ name, title, tokens, distances }: Seen): Analysis["encoders"][number] {
  return {
    name,
    title,
    statistics: tokens.map((each, depth) => {
      const { norm, deviation, correlation, participationRatio } = statistics(each);
      return {
        depth,
        norm: round(norm),
        deviation: round(deviation),
        correlation: round(correlation),
        participationRatio: round(participationRatio),
      };
    }),
    distances: distances.map(({ rows, count, width }, block) => {
      const sums = new Float64Array(width);
      for (const [i, distance] of rows.entries()) sums[i % width]! += distance;
      const heads = Array.from(sums.sort(), (sum) => round(sum / count));
      return { block, mean: round(heads.reduce((sum, each) => sum + each, 0) / width), heads };
    }),
  };
}

/** Every encoder against itself and against those after it. */
function similarities(seen: readonly Seen[]): NonNullable<Analysis["similarities"]> {
  const grams = seen.map(({ tokens }) => tokens.map(gram));
  return seen.flatMap((first, i) =>
    seen.slice(i).map((second, j) => ({
      first: first.name,
      second: second.name,
      values: cka(grams[i]!, grams[i + j]!).map((row) => row.map(round)),
    })),
  );
}

/** Five digits: what the report shows, and more than runs on other machines agree on. */
function round(x: number): number {
  return Number(x.toPrecision(5));
}
