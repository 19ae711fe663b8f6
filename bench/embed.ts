/**
 * Images per second of `layergraft embed` beside those of its parts: the encoder on a batch at hand, and the images alone.
 *
 *     node dist/bench/embed.js RUN IMAGES [images] [rounds] [threads]
 *
 * One after the other in every round, so that a busy machine slows all alike; medians over the rounds.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { evaluationBatches } from "../src/data/batches/evaluation.ts";
import { openSource } from "../src/data/sources/open.ts";
import { sample } from "../src/data/sources/subset.ts";
import { loadEncoder } from "../src/evaluators/encoder.ts";
import { embedImages } from "../src/interop/embed.ts";

const [, , run, path, limit = "2000", rounds = "5", threads = "1"] = process.argv;
if (run === undefined || path === undefined) throw new Error("give a run and a folder of images");
const batch = 64;
const settings = { batch, threads: Number(threads) };
const source = sample(await openSource({ kind: "folder", path }), Number(limit), 0);
const encoder = await loadEncoder(run, settings);
const { value: first } = await evaluationBatches(source, encoder.view, batch).next();
const folder = mkdtempSync(join(tmpdir(), "layergraft-bench-"));

/** Images per second from the first batch on: starting is no part of it. */
async function rateOf(work: (progress: (done: number) => void) => Promise<unknown>): Promise<number> {
  let first: { done: number; at: number } | undefined;
  let last = { done: 0, at: 0 };
  await work((done) => {
    last = { done, at: performance.now() };
    first ??= last;
  });
  return (last.done - first!.done) / ((last.at - first!.at) / 1000);
}

const embed = (out: string) => (onProgress: (done: number) => void) =>
  embedImages(run, { kind: "folder", path }, join(folder, out), { ...settings, limit: source.length, onProgress });
const kinds: Record<string, (progress: (done: number) => void) => Promise<unknown>> = {
  async encoder(progress) {
    for (let done = batch; done <= source.length; done += batch) {
      await encoder.encode(first!.images);
      progress(done);
    }
  },
  async images(progress) {
    let done = 0;
    for await (const { indices } of evaluationBatches(source, encoder.view, batch)) progress((done += indices.length));
  },
  parquet: embed("x.parquet"),
  npy: embed("x.npy"),
};
const rates = new Map<string, number[]>(Object.keys(kinds).map((name) => [name, []]));
for (let round = 0; round < Number(rounds); round++)
  for (const [name, work] of Object.entries(kinds)) rates.get(name)!.push(await rateOf(work));
rmSync(folder, { recursive: true });
await encoder.release();
for (const [name, all] of rates) {
  const sorted = all.toSorted((a, b) => a - b);
  console.log(`${name.padEnd(8)} ${sorted[Math.floor(sorted.length / 2)]!.toFixed(1)} images/s`);
}
