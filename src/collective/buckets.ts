import type { Collective } from "./collective.ts";

/** Arrays of fewer numbers than these travel together. */
export const bucketFloats = 2 ** 22;

/**
 * Sums many arrays over all processes, in place. Small ones travel together, since every message costs a round trip; one
 * of `floats` numbers or more travels by itself.
 */
export function allReduceAll(collective: Collective, arrays: readonly Float32Array[], floats = bucketFloats): void {
  if (collective.size === 1) return;
  const bucket = new Float32Array(floats);
  let [held, used] = [[] as Float32Array[], 0];
  const send = () => {
    collective.allReduceSum(bucket.subarray(0, used));
    let at = 0;
    for (const array of held) {
      array.set(bucket.subarray(at, at + array.length));
      at += array.length;
    }
    [held, used] = [[], 0];
  };
  for (const array of arrays) {
    if (array.length >= floats) {
      collective.allReduceSum(array);
      continue;
    }
    if (used + array.length > floats) send();
    bucket.set(array, used);
    held.push(array);
    used += array.length;
  }
  if (used > 0) send();
}
