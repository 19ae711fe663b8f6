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
import { evaluationBatches } from "../src/data/evaluation.ts";
import { openSource } from "../src/data/source.ts";
import { sample } from "../src/data/subset.ts";
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

const kinds = {
  async encoder() {
    for (let done = 0; done < source.length; done += batch) await encoder.encode(first!.images);
  },
  async images() {
    for await (const { indices } of evaluationBatches(source, encoder.view, batch)) void indices;
  },
  async parquet() {
    await embedImages(run, { kind: "folder", path }, join(folder, "x.parquet"), { ...settings, limit: source.length });
  },
  async npy() {
    await embedImages(run, { kind: "folder", path }, join(folder, "x.npy"), { ...settings, limit: source.length });
  },
};
const rates = new Map<string, number[]>(Object.keys(kinds).map((name) => [name, []]));
for (let round = 0; round < Number(rounds); round++)
  for (const [name, work] of Object.entries(kinds)) {
    const start = performance.now();
    await work();
    rates.get(name)!.push(source.length / ((performance.now() - start) / 1000));
  }
rmSync(folder, { recursive: true });
await encoder.release();
for (const [name, all] of rates) {
  const sorted = all.toSorted((a, b) => a - b);
  console.log(`${name.padEnd(8)} ${sorted[Math.floor(sorted.length / 2)]!.toFixed(1)} images/s`);
}
