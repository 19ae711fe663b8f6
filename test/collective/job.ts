/**
 * Program of the tests: `mpirun -np N node job.js PART [DIR]`. Wrong values end it with an error.
 *
 *   methods      calls every method; process 0 prints the digest of an awkward sum
 *   loop DIR     sums without end, once each process has left its id and its parent's in DIR
 *   fork PART    any of them in a child, as the command line runs training
 *   throw        the last process fails while the others wait for it
 */
import { deepStrictEqual, strictEqual, throws } from "node:assert";
import { fork } from "node:child_process";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import type { Collective } from "../../src/collective/collective.ts";
import { openCollective } from "../../src/collective/launch.ts";
import { inherited } from "../../src/collective/inherit.ts";

const [part, ...rest] = process.argv.slice(2);
if (part === "fork") inChild(rest);
else run(await openCollective());

function run(job: Collective) {
  if (part === "methods") {
    methods(job);
    job.close();
  } else if (part === "loop") void loop(job, rest[0]!);
  else if (job.rank < job.size - 1) job.barrier();
  else throw new Error("the last process fails");
}

function methods(job: Collective) {
  const { rank, size } = job;
  const ranks = Array.from({ length: size }, (_, index) => index);

  for (const Type of [Float32Array, Float64Array])
    for (const length of [0, 1, 1000, 2 ** 22, 2 ** 23 + 4321]) {
      const values = new Type(length).map((_, index) => (index % 1000) + rank);
      job.allReduceSum(values);
      const sum = (index: number) => size * (index % 1000) + (size * (size - 1)) / 2;
      strictEqual(
        values.findIndex((value, index) => value !== sum(index)),
        -1,
      );
    }

  const awkward = awkwardValues(2 ** 22 + 77, rank);
  job.allReduceSum(awkward);
  const digest = createHash("sha256").update(awkward).digest("hex");
  deepStrictEqual(
    job.gatherText(digest),
    ranks.map(() => digest),
  );

  for (const length of [0, 1, 5, 2 ** 22 + 3]) {
    const all = new Float32Array(size * length);
    job.allGather(new Float32Array(length).fill(rank + 0.5), all);
    strictEqual(
      all.findIndex((value, index) => value !== Math.floor(index / length) + 0.5),
      -1,
    );
  }
  throws(() => job.allGather(new Float32Array(2), new Float32Array(3)), /not 3/);

  for (const length of [0, 1, 2 ** 22, 2 ** 22 + 5]) {
    const bytes = new Uint8Array(length).map((_, index) => index % 251);
    const got = rank === 0 ? job.broadcast(bytes) : job.broadcast();
    strictEqual(Buffer.compare(got, bytes), 0);
  }
  if (rank === 0) throws(() => job.broadcast(), /nothing to broadcast/);

  for (const length of [0, 1, 2 ** 22 + 9]) {
    const values = new Float32Array(length).fill(rank === 0 ? 0.25 : NaN);
    job.broadcastInto(values);
    strictEqual(
      values.findIndex((value) => value !== 0.25),
      -1,
    );
  }

  const text = (of: number) => "größer als 中文 🙂 ".repeat(of);
  deepStrictEqual(job.gatherText(text(rank)), ranks.map(text));
  deepStrictEqual(
    job.gatherText(""),
    ranks.map(() => ""),
  );
  job.barrier();
  if (rank === 0) console.log(JSON.stringify({ size, digest }));
}

/** Values over many magnitudes, others on each process, in memory of WebAssembly: their sum depends on the order. */
function awkwardValues(length: number, rank: number): Float32Array {
  const memory = new WebAssembly.Memory({ initial: Math.ceil((8 + 4 * length) / 65536) });
  const values = new Float32Array(memory.buffer, 8, length);
  let state = rank + 1;
  for (let index = 0; index < length; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    values[index] = (state / 2 ** 31 - 1) * 2 ** (state % 24);
  }
  return values;
}

/** Hears signals and the death of its parent between two sums only, as the training process does. */
async function loop(job: Collective, dir: string) {
  process.on("SIGTERM", () => undefined);
  process.on("disconnect", () => process.exit(1));
  const values = new Float32Array(100_000);
  for (let round = 0; ; round++) {
    job.allReduceSum(values);
    if (round === 10) writeFileSync(join(dir, `${job.rank}`), `${process.pid} ${process.ppid}`);
    await setImmediate();
  }
}

function inChild(args: readonly string[]) {
  process.on("SIGTERM", () => undefined); // the command line waits for its child to save
  const child = fork(fileURLToPath(import.meta.url), args, inherited());
  child.on("close", (code) => (process.exitCode = code ?? 1));
}
