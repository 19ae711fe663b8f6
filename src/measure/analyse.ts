/** Looks into the encoders of a run: how features are spread, where attention goes, who is like whom, a map of the images. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { DeviceOptions } from "../backend/device.ts";
import type { Source } from "../data/source.ts";
import { defineSource, kindOf, openSource, type SourceInput } from "../data/sources/open.ts";
import { cached } from "../data/sources/cached.ts";
import { sample, subset } from "../data/sources/subset.ts";
import { cka, gram } from "../evaluators/cka.ts";
import { openInside } from "../evaluators/inside.ts";
import { statistics } from "../evaluators/statistics.ts";
import { type Analysis, writeAnalysis } from "../run/analysis.ts";
import { messageOf } from "../run/errors.ts";
import { drawAttention, drawMap, type Seen } from "./analysis-pictures.ts";
import type { Candidate } from "./candidates.ts";
import { resolveInside, type InsideOptions, openEncoder } from "./inside.ts";
import { type TaskOptions, tasksOf } from "./tasks.ts";

export interface AnalyseOptions extends InsideOptions, TaskOptions {
  /** Look at so many images at most (default 600). */
  readonly images?: number;
  readonly onProgress?: (done: number, total: number, what: string) => void;
}

/**
 * Analyses the encoders of a run folder, or that of one checkpoint file, and writes `analysis.json` with its pictures in
 * `samples/`. Same seed, same files. Throws one sentence when there is nothing to analyse.
 */
export async function analyse(path: string, options: AnalyseOptions = {}): Promise<Analysis> {
  const { candidates, data, out, ...settings } = resolveInside(path, options);
  const analysis = await analyseEncoders(out, candidates, data, settings);
  writeAnalysis(out, analysis);
  return analysis;
}

/** The same of any encoders. Pictures go to `samples/` of the folder; the document is returned. */
export async function analyseEncoders(
  dir: string,
  candidates: readonly Candidate[],
  data: SourceInput,
  { images = 600, onProgress, ...options }: Omit<AnalyseOptions, keyof InsideOptions> = {},
): Promise<Analysis> {
  const { seed = 0, device, threads } = options;
  const all = cached(sample(await lookedAt(data, options), images, seed), 2 ** 28); // looked at again and again
  const { readable, problem } = await readableOf(all);
  if (readable.length < 2)
    throw new Error(problem ?? `an analysis needs two images or more, but ${all.name} shows ${readable.length}`);
  const source = subset(all, readable);
  const seen: Seen[] = [];
  for (const [i, candidate] of candidates.entries()) {
    onProgress?.(i, candidates.length, `${candidate.title}: looking inside`);
    seen.push(await lookInto(candidate, source, { device, threads }));
  }
  onProgress?.(candidates.length, candidates.length, "");
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
  const analysed = kindOf(spec).analysed?.(spec);
  return analysed === undefined ? (await tasksOf(spec, options)).shown : openSource(analysed);
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

async function lookInto(candidate: Candidate, source: Source, options: DeviceOptions): Promise<Seen> {
  const { name, title } = candidate;
  const encoder = await openEncoder(candidate);
  const inside = await openInside(encoder, ["features", "tokens", "distances", "attention"], options);
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
