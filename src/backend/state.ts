/** The variables of a model in memory, with gradients and moments beside the trained ones. */
import { type Key } from "../tensor/random.ts";
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { variableKey } from "../nn/init.ts";
import type { Variable } from "../nn/scope.ts";
import { allocateBlocks, type Block } from "./memory.ts";

/** One variable and the arrays that belong to it: `w`, and `g`, `m`, `v` when it is trained. */
export interface StateEntry {
  readonly variable: Variable;
  readonly trained: boolean;
  readonly block: Block;
}

/** A variable and the one that follows it, stored side by side. */
export interface Pair {
  readonly source: string;
  readonly target: string;
}

export interface TrainState {
  readonly entries: ReadonlyMap<string, StateEntry>;
  /** Every variable by name, and `optimizer.m.<name>`, `optimizer.v.<name>`: live views of the memory. */
  tensors(): Map<string, Tensor>;
  /**
   * Copies values in; names the state does not have are left out. Throws when a shape differs. Returns the names of
   * `values` that were used.
   */
  load(values: ReadonlyMap<string, Tensor>): string[];
}

/** Memory for the variables, filled with their initial values under `key`. `pairs` may not share a source. */
export async function createState(
  variables: readonly Variable[],
  isTrained: (variable: Variable) => boolean,
  pairs: readonly Pair[],
  key: Key,
): Promise<TrainState> {
  const followerOf = new Map(pairs.map(({ source, target }) => [source, target]));
  const following = new Set(pairs.map(({ target }) => target));
  const byName = new Map(variables.map((variable) => [variable.name, variable]));
  const leaders = variables.filter(({ name }) => !following.has(name));
  const blocks = await allocateBlocks(
    leaders.map((variable) => ({
      shape: variable.shape,
      arrays: ["w", ...(isTrained(variable) ? ["g", "m", "v"] : []), ...(followerOf.has(variable.name) ? ["f"] : [])],
    })),
  );

  const stored = new Map<string, StateEntry>();
  for (const [i, variable] of leaders.entries()) {
    const block = blocks[i]!;
    stored.set(variable.name, { variable, trained: isTrained(variable), block });
    const target = followerOf.get(variable.name);
    if (target !== undefined) {
      const view: Block = { ...block, tensors: { w: block.tensors["f"]! }, pointers: { w: block.pointers["f"]! } };
      stored.set(target, { variable: byName.get(target)!, trained: false, block: view });
    }
  }
  const entries = new Map(variables.map(({ name }) => [name, stored.get(name)!])); // in order of declaration
  for (const { variable, block } of entries.values())
    block.tensors["w"]!.data.set(variable.init(variable.shape, variableKey(key, variable.name)));

  const tensors = () => {
    const all = new Map<string, Tensor>();
    for (const [name, { block }] of entries) all.set(name, block.tensors["w"]!);
    for (const moment of ["m", "v"])
      for (const [name, { trained, block }] of entries)
        if (trained) all.set(`optimizer.${moment}.${name}`, block.tensors[moment]!);
    return all;
  };
  return {
    entries,
    tensors,
    load(values) {
      const used: string[] = [];
      for (const [name, target] of tensors()) {
        const source = values.get(name);
        if (source === undefined) continue;
        if (source.dtype !== "float32" || !sameShape(source.shape, target.shape))
          throw new Error(
            `${name} has the shape ${show(target.shape)} here, but ${source.dtype}${show(source.shape)} in the checkpoint`,
          );
        (target.data as Float32Array).set(source.data as Float32Array);
        used.push(name);
      }
      return used;
    },
  };
}
