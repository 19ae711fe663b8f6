/** What the processes of one job say to each other. */

/** Every process calls the same methods in the same order with equally long values; each call waits for the others. */
export interface Collective {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes; 1: alone. */
  readonly size: number;
  /** Sum over all processes, in place, on every process. Same bits everywhere. */
  allReduceSum(values: Float32Array | Float64Array): void;
  /** Every process's equally long part, by rank, into `all` (length size * part.length). */
  allGather(part: Float32Array, all: Float32Array): void;
  /** Root 0's bytes on every process; the others pass nothing. */
  broadcast(bytes?: Uint8Array): Uint8Array;
  /** Root 0's values in place on every process. */
  broadcastInto(values: Float32Array): void;
  /** Every process's text, by rank, on every process. */
  gatherText(text: string): string[];
  /** Returns when every process has called it. */
  barrier(): void;
  /** The last call: leaves the job. */
  close(): void;
}

/** The collective of one process. */
export const alone: Collective = {
  rank: 0,
  size: 1,
  allReduceSum: () => undefined,
  allGather(part, all) {
    if (all.length !== part.length)
      throw new Error(`1 part of ${part.length} values fills as many values, not ${all.length}`);
    all.set(part);
  },
  broadcast(bytes) {
    if (bytes === undefined) throw new Error("process 0 has nothing to broadcast: it must pass the bytes");
    return bytes;
  },
  broadcastInto: () => undefined,
  gatherText: (text) => [text],
  barrier: () => undefined,
  close: () => undefined,
};
