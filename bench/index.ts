/**
 * What an index costs: how long a folder of many images takes to be indexed, and to be opened when its index is kept.
 *
 *     node dist/bench/index.js --folders 1000 --images 1000
 *
 * The images are hard links to one file in a temporary folder, which goes at the end; none is decoded.
 */
import { linkSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { Worker } from "node:worker_threads";
import { bytesOf } from "../src/data/sources/image-index.ts";
import { epochOrder } from "../src/data/batches/order.ts";
import { indexOf } from "../src/data/sources/open.ts";
import { key } from "../src/tensor/random.ts";

const { values: options } = parseArgs({
  options: { folders: { type: "string", default: "100" }, images: { type: "string", default: "1000" } },
});
const [folders, images] = [Number(options.folders), Number(options.images)];
const root = mkdtempSync(join(tmpdir(), "layergraft-bench-"));
process.env["LAYERGRAFT_CACHE"] = join(root, "cache");
const path = join(root, "images");

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`;
async function timed<T>(what: string, work: () => T): Promise<Awaited<T>> {
  const start = performance.now();
  const result = await work();
  console.log(`${what.padEnd(40)} ${((performance.now() - start) / 1000).toFixed(2).padStart(7)} s`);
  return result;
}

try {
  for (let f = 0; f < folders; f++) {
    const folder = join(path, `n${String(f).padStart(8, "0")}-a-class-of-images`);
    mkdirSync(folder, { recursive: true });
    const file = (i: number) => join(folder, `photograph-${String(i).padStart(12, "0")}.jpeg`);
    writeFileSync(file(0), "");
    for (let i = 1; i < images; i++) linkSync(file(0), file(i));
  }
  await setTimeout(200);
  const load = loadavg().map((x) => x.toFixed(2));
  console.log(`${(folders * images).toLocaleString("en")} images in ${folders} folders; load ${load.join(" ")}`);
  const spec = { kind: "folder", path } as const;

  const before = process.memoryUsage().rss;
  const index = (await timed("build and keep", () => indexOf(spec)))!;
  const { rss } = process.memoryUsage();
  const mean = (index.names.length / index.length).toFixed(1);
  console.log(`  index ${mb(bytesOf(index))} (names of ${mean} bytes); process ${mb(before)} before, ${mb(rss)} after`);
  const kept = join(root, "cache", "indexes");
  for (const name of readdirSync(kept)) console.log(`  on disk ${mb(statSync(join(kept, name)).size)}`);
  await timed("again in the same process", () => indexOf(spec));

  const source = JSON.stringify(new URL("../src/data/sources/open.js", import.meta.url).href);
  const open = `const { indexOf } = await import(${source});
    const start = performance.now();
    await indexOf(${JSON.stringify(spec)});
    console.log("another thread that finds it on disk".padEnd(40), ((performance.now() - start) / 1000).toFixed(2).padStart(7), "s");`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(open)}`));
  await new Promise((done) => void worker.on("exit", done));
  await timed("order of an epoch", () => epochOrder(index.length, undefined, key(0)));
} finally {
  rmSync(root, { recursive: true });
}
