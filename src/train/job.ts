/** What the processes of a job settle before they train, and what they tell each other while they do. */
import { hostname } from "node:os";
import { ownThreads, processors, sharedProcessors } from "../backend/machine.ts";
import { runtimeVersion } from "../backend/executable.ts";
import type { State } from "../backend/backend.ts";
import type { Skipped } from "../data/batches/bad.ts";
import type { Source } from "../data/source.ts";
import { ownVersion } from "../run/environment.ts";
import { imagesIn } from "../run/images.ts";
import type { Collective } from "../collective/collective.ts";

/** What `value` returns in process 0, as JSON, in every process. */
export async function fromFirst<T>(collective: Collective, value: () => T | Promise<T>): Promise<T> {
  if (collective.size === 1) return value();
  const text = collective.rank === 0 ? new TextEncoder().encode(JSON.stringify(await value())) : undefined;
  return JSON.parse(new TextDecoder().decode(collective.broadcast(text))) as T;
}

/** Throws in every process when one of them is other software or was started by another command than process 0. */
export function checkSame(collective: Collective, command: string): void {
  agree(collective, "runs", `layergraft ${ownVersion()} on ONNX Runtime ${runtimeVersion}`);
  agree(collective, "was started by", command);
}

/** What `work` gives in this process. Throws in every process when it fails in one of them, and says in which. */
export async function inEvery<T>(collective: Collective, work: () => Promise<T>): Promise<T> {
  if (collective.size === 1) return work();
  const own = await work().then(
    (value) => ({ value, failure: "" }),
    (error: unknown) => ({ value: undefined, failure: ofProcess(collective, error as Error).message }),
  );
  const failure = collective.gatherText(own.failure).find((text) => text !== "");
  if (failure !== undefined) throw new Error(failure);
  return own.value!;
}

/** The error as that of this process, for somebody who sees what many processes say. */
export function ofProcess({ rank }: Collective, error: Error): Error {
  return new Error(`process ${rank} on ${hostname()}: ${error.message}`, { cause: error });
}

/** Throws in every process when one of them sees other images than process 0. */
export function checkData(collective: Collective, source: Source): void {
  if (collective.size === 1) return;
  const { count, names } = imagesIn(source);
  agree(collective, "sees", `${count} images (${names.slice(0, 12)})`);
}

/** Throws one sentence in every process when they do not all say the same. */
function agree(collective: Collective, verb: string, own: string): void {
  const [first, ...others] = collective.gatherText(`${own}\0${hostname()}`).map((text) => text.split("\0"));
  const other = others.findIndex(([said]) => said !== first![0]);
  if (other === -1) return;
  const [said, host] = others[other]!;
  throw new Error(
    `process ${other + 1} on ${host} ${verb} ${said}, but process 0 on ${first![1]} ${verb} ${first![0]}: ` +
      "all processes of a job need the same",
  );
}

/** How it stands before a step, in one process or in all. */
export interface Status {
  /** It was asked to stop; of all: one of them was. */
  readonly stop: boolean;
  /** Unreadable images met so far. */
  readonly skipped: readonly Skipped[];
}

/** A function that every process calls before every step, with its own status: it returns that of all. */
export function statusExchange(collective: Collective): (own: Status) => Status {
  let [known, count] = [[] as readonly Skipped[], 0];
  return (own) => {
    if (collective.size === 1) return own;
    const sums = Float64Array.of(Number(own.stop), own.skipped.length);
    collective.allReduceSum(sums);
    if (sums[1] !== count) {
      count = sums[1]!;
      const lists = collective.gatherText(JSON.stringify(own.skipped));
      known = lists.flatMap((text) => JSON.parse(text) as Skipped[]);
    }
    return { stop: sums[0]! > 0, skipped: known };
  };
}

/** Process 0's weights, moments and buffers in every process. */
export async function shareState({ broadcastInto, size }: Collective, state: State): Promise<void> {
  if (size === 1) return;
  const values = await state.read({ moments: true });
  for (const { data } of values.values()) broadcastInto(data);
  await state.write(values);
}

/**
 * Threads of a step where processes share a machine or this one may only use some of its processors (mpirun binds so): an
 * equal part, or as many as it may. Undefined where this process has the machine to itself.
 */
export function shareThreads(collective: Collective): number | undefined {
  const here = collective.gatherText(hostname()).filter((name) => name === hostname()).length;
  if (here === 1) return ownThreads();
  return Math.max(1, Math.min(processors(), Math.floor(sharedProcessors() / here)));
}
