/**
 * What was encoded of a batch, micro-batch by micro-batch, and what comes down to it: on the host, where the rows of several
 * processes come together, or on the device that computes both.
 */
import { tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import type { Backend, Executable, Place } from "../backend/backend.ts";
import type { Collective } from "../collective/collective.ts";
import type { Values } from "../objectives/objective.ts";
import { mapValues } from "./graphs.ts";
import { copyRows, type MicroBatches } from "./micro-batches.ts";
import type { Feeds, Program, Results } from "./ports.ts";

export interface RowsOptions {
  readonly microBatches: MicroBatches;
  readonly collective: Collective;
  /** From a micro-batch, [views · micro-batch, …] each. */
  readonly encoded: Values;
  /** Names of those that have something to learn. */
  readonly needed: readonly string[];
}

export interface Rows {
  /** Encodes micro-batch `i` and keeps what comes of it. */
  encode(program: Program, i: number, feeds: Feeds): Promise<void>;
  /** Brings the rows of the whole batch together, once all are encoded; every process calls it. */
  gather(): Promise<void>;
  /** Runs the loss on them. */
  lose(program: Program, feeds: Feeds): Promise<Results>;
  /** What comes down to micro-batch `i` of this process, once the loss was run. */
  cotangents(results: Results, i: number): Promise<NonNullable<Feeds["cotangent"]>>;
  release(): Promise<void>;
}

/** Rows on the host, of all processes in the order of the batch. */
export function hostRows({ microBatches: { size, count }, collective, encoded, needed }: RowsOptions): Rows {
  const { rank, size: ranks } = collective;
  const times = (factor: number) =>
    mapValues(encoded, ({ shape: [lead, ...rest] }) => tensor("float32", [lead! * factor, ...rest]));
  const own = times(count);
  const all = ranks === 1 ? own : times(count * ranks);
  const names = Object.keys(encoded);

  async function gather() {
    for (const name of ranks === 1 ? [] : names) {
      const { data, shape } = own[name]!;
      const byRank = new Float32Array(data.length * ranks);
      collective.allGather(data, byRank);
      for (let from = 0; from < ranks; from++) {
        const shard = tensor("float32", shape, byRank.subarray(from * data.length, (from + 1) * data.length));
        copyRows(all[name]!, shard, from, count * size, "in");
      }
    }
  }

  return {
    async encode(program, i, feeds) {
      const found = await program.run(feeds);
      for (const name of names) copyRows(own[name]!, found.encoded[name]!, i, size, "in");
    },
    gather,
    lose: (program, feeds) => program.run({ ...feeds, encoded: all }),
    async cotangents(results, i) {
      const parts = needed.map((name) => {
        const cotangent = tensor("float32", encoded[name]!.shape);
        copyRows(results.cotangent[name]!, cotangent, rank * count + i, size, "out");
        return [name, cotangent] as const;
      });
      return Object.fromEntries(parts);
    },
    release: async () => undefined,
  };
}

/** Rows that never leave the device: two small graphs put them together and take apart what comes down. */
export async function deviceRows(
  backend: Backend & Required<Pick<Backend, "place">>,
  { microBatches: { size, count }, encoded, needed }: RowsOptions,
): Promise<Rows> {
  const whole = (name: string) => {
    const [lead, ...rest] = encoded[name]!.shape;
    return [lead! * count, ...rest];
  };
  const names = Object.keys(encoded);
  const partNames = (list: readonly string[]) =>
    list.flatMap((name) => Array.from({ length: count }, (_, i) => [`${name}:${i}`, encoded[name]!.shape] as const));
  const places = (list: readonly (readonly [string, readonly number[]])[]) =>
    Object.fromEntries(list.map(([name, shape]) => [name, backend.place(shape)] as const));
  const wholeOf = (list: readonly string[]) => places(list.map((name) => [name, whole(name)] as const));
  const [parts, rows] = [places(partNames(names)), wholeOf(names)];
  const [above, down] = [wholeOf(needed), places(partNames(needed))];

  const join = await backend.compile(
    mapValues(encoded, (part, name) => joined(name, part, size, count)),
    names,
  );
  join.bind({ inputs: parts, outputs: rows });
  const split =
    needed.length === 0
      ? undefined
      : await backend.compile(
          Object.fromEntries(needed.flatMap((name) => cutApart(name, encoded[name]!, size, count))),
          Object.keys(down),
        );
  split?.bind({ inputs: above, outputs: down });
  const partOf = (list: Readonly<Record<string, Place>>, of: readonly string[], i: number) =>
    Object.fromEntries(of.map((name) => [name, list[`${name}:${i}`]!] as const));

  return {
    async encode(program, i, feeds) {
      program.bindOutputs({ encoded: partOf(parts, names, i) });
      await program.run(feeds);
    },
    gather: async () => void (await join.run()),
    async lose(program, feeds) {
      program.bindOutputs({ cotangent: above });
      const results = await program.run({ ...feeds, encoded: rows });
      await split?.run();
      return results;
    },
    cotangents: async (_, i) => partOf(down, needed, i),
    async release() {
      for (const list of [parts, rows, above, down]) for (const place of Object.values(list)) place.release();
      for (const program of [join, split] as (Executable | undefined)[]) await program?.release();
    },
  };
}

/** Rows of all micro-batches, [views · micro-batch, …] each, view after view: [views · batch, …]. */
function joined(name: string, { shape }: Value, size: number, count: number): Value {
  const [lead, ...rest] = shape as [number, ...number[]];
  const views = lead / size;
  const parts = Array.from({ length: count }, (_, i) =>
    op.reshape(op.input(`${name}:${i}`, "float32", shape), [views, size, ...rest]),
  );
  return op.reshape(count === 1 ? parts[0]! : op.concat(parts, 1), [views * size * count, ...rest]);
}

/** The rows of each micro-batch again, by name. */
function cutApart(name: string, { shape }: Value, size: number, count: number): (readonly [string, Value])[] {
  const [lead, ...rest] = shape as [number, ...number[]];
  const views = lead / size;
  const all = op.reshape(op.input(name, "float32", [lead * count, ...rest]), [views, size * count, ...rest]);
  return Array.from({ length: count }, (_, i) => {
    const part = op.slice(all, 1, i * size, (i + 1) * size);
    return [`${name}:${i}`, op.reshape(part, shape)] as const;
  });
}
