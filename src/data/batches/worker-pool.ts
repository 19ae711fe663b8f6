/** Worker threads that make rows. Each has its own share of the images, decodes and keeps only these. */
import { Worker } from "node:worker_threads";
import { workerOf } from "./order.ts";
import type { Rows } from "./rows.ts";
import type { Answer, Request, WorkerOptions } from "./worker.ts";

/** Batches that a pool makes while one is in use. */
export const batchesAhead = 2;

export interface WorkerPool {
  /** Rows of the images `indices`. Requests are served in order, also while the calling thread is busy. */
  make(epoch: number, indices: Int32Array): Promise<Rows>;
  close(): Promise<void>;
}

interface Waiting {
  readonly resolve: (rows: Rows) => void;
  readonly reject: (error: Error) => void;
}

/**
 * Starts `count` worker threads; `blocks` are those of the images in use. A thread that dies rejects everything that is
 * asked of the pool from then on.
 */
export function startWorkerPool(options: WorkerOptions, count: number, blocks?: ArrayLike<number>): WorkerPool {
  const ownerOf = workerOf(blocks, count);
  const index = options.index && { ...options.index, dependencies: [] }; // which no worker looks at
  const share: WorkerOptions = { ...options, index, cacheBytes: options.cacheBytes / count };
  const waiting = new Map<number, Waiting>();
  let tickets = 0;
  let failure: Error | undefined;

  const fail = (error: Error) => {
    failure ??= error;
    for (const { reject } of waiting.values()) reject(failure);
    waiting.clear();
  };
  const workers = Array.from({ length: count }, () => {
    const worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: share });
    worker.on("message", (answer: Answer) => {
      const asked = waiting.get(answer.ticket);
      waiting.delete(answer.ticket);
      if ("rows" in answer) asked?.resolve(answer.rows);
      else asked?.reject(new Error(answer.error));
      if (waiting.size === 0) for (const each of workers) each.unref();
    });
    worker.on("error", (error) => fail(new Error(`a data worker crashed: ${error.message}`, { cause: error })));
    worker.on("exit", (code) => fail(new Error(`a data worker ended (exit code ${code})`)));
    worker.unref(); // idle workers keep no process alive
    return worker;
  });

  function ask(worker: Worker, epoch: number, indices: Int32Array): Promise<Rows> {
    if (failure !== undefined) return Promise.reject(failure);
    const ticket = tickets++;
    worker.ref();
    worker.postMessage({ ticket, epoch, indices } satisfies Request, []);
    return new Promise((resolve, reject) => waiting.set(ticket, { resolve, reject }));
  }

  return {
    async make(epoch, indices) {
      if (count === 1) return ask(workers[0]!, epoch, indices);
      const places = workers.map((_, w) =>
        Int32Array.from(indices.keys()).filter((row) => ownerOf(indices[row]!) === w),
      );
      const parts = await Promise.all(
        workers.map((worker, w) =>
          ask(
            worker,
            epoch,
            places[w]!.map((row) => indices[row]!),
          ),
        ),
      );
      return merge(parts, places, indices.length);
    },
    async close() {
      fail(new Error("the loader is closed"));
      for (const worker of workers) {
        worker.removeAllListeners("message"); // an answer that is under way would let the process end first
        worker.ref();
      }
      await Promise.all(workers.map((worker) => worker.terminate()));
    },
  };
}

/** Puts row `r` of part `p` to row `places[p][r]`. */
function merge(parts: readonly Rows[], places: readonly Int32Array[], length: number): Rows {
  const indices = new Int32Array(length);
  const fields: Rows["fields"] = {};
  const rowLength = (name: string) =>
    Math.max(...parts.map((part) => part.fields[name]!.length / part.indices.length || 0));
  for (const name of Object.keys(parts[0]!.fields)) fields[name] = new Float32Array(length * rowLength(name));
  for (const [p, part] of parts.entries())
    for (const [r, row] of places[p]!.entries()) {
      indices[row] = part.indices[r]!;
      for (const [name, data] of Object.entries(part.fields)) {
        const size = data.length / part.indices.length;
        fields[name]!.set(data.subarray(r * size, (r + 1) * size), row * size);
      }
    }
  return {
    fields,
    indices,
    bad: parts.flatMap((part) => part.bad),
  };
}
