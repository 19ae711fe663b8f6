/** Momentum (EMA) copies and anchors: variables that are copies of others. */
import type { Pair, State } from "../backend/backend.ts";
import type { Value } from "../graph/value.ts";
import type { Variable } from "../nn/scope.ts";
import type { Copy, Objective } from "../objectives/objective.ts";

/** A copy that an objective asks for, variable by variable. */
interface Pairs extends Copy {
  readonly pairs: readonly Pair[];
}

/** The pairs behind an objective's copies. Throws when a copy has no source. */
export function pairsOf({ copies = [] }: Objective, variables: readonly Variable[]): readonly Pairs[] {
  const names = new Set(variables.map(({ name }) => name));
  return copies.map((copy) => {
    const pairs = variables.flatMap(({ name }) =>
      name.startsWith(copy.target) ? [{ source: copy.source + name.slice(copy.target.length), target: name }] : [],
    );
    const alone = pairs.find(({ source }) => !names.has(source));
    if (alone !== undefined) throw new Error(`${alone.target} is a copy of ${alone.source}, which does not exist`);
    return { ...copy, pairs };
  });
}

/** Values of copies whose sources never change, tables and frozen parameters, and those of their sources. */
export function constantCopies(
  { copies = [] }: Objective,
  variables: ReadonlyMap<string, Variable>,
  isConstant: (name: string) => boolean,
): Map<Value, Value> {
  const found = new Map<Value, Value>();
  for (const { source, target } of copies)
    for (const { name, value } of variables.values()) {
      if (!name.startsWith(target)) continue;
      const original = variables.get(source + name.slice(target.length));
      if (original === undefined || original.role === "buffer") continue;
      if (original.role === "constant" || isConstant(original.name)) found.set(value, original.value);
    }
  return found;
}

/** Moves those with momentum. Buffers are statistics of their own and stay. */
export async function moveCopies(state: State, copies: readonly Pairs[], progress: number): Promise<void> {
  for (const { momentum, pairs } of copies) {
    if (momentum === undefined) continue;
    const moving = pairs.filter(({ source }) => state.variables.get(source)!.role !== "buffer");
    await state.average(moving, momentum(progress));
  }
}
