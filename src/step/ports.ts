/**
 * The ports of a step's graphs. The inputs and outputs of a graph have flat names; here they come in groups, so that who
 * writes a graph and who runs it both speak of `{ batch: { images } }`. What has no group is a variable, by its own name.
 */
import type { Tensor } from "../tensor/tensor.ts";
import type { Shape } from "../tensor/shape.ts";
import { input } from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import type { Backend, Handle, State } from "../backend/backend.ts";

/**
 * `batch`: fields of a micro-batch; `scalar`: the objective's schedules; `encoded`: rows of the whole batch, in place of what
 * was encoded; `cotangent`: the gradient with respect to what was encoded; `sum`: gradients so far, by parameter.
 */
export type InputGroup = "batch" | "scalar" | "encoded" | "cotangent" | "sum";
/** `metric`: scalars; `update`: new values of buffers; `gradient`: `sum` with this run's gradient added. */
export type OutputGroup = "metric" | "update" | "gradient" | "encoded" | "cotangent";

type Named<T> = Readonly<Record<string, T>>;
export type Feeds = { readonly [G in InputGroup]?: Named<Handle> };
export type Outputs = { readonly [G in OutputGroup]?: Named<Value> };
export type Results = { readonly [G in OutputGroup]: Named<Tensor> };

/** An input of a graph. */
export function port(group: InputGroup, name: string, shape: Shape): Value {
  return input(flatName(group, name), "float32", shape);
}

/** A compiled graph of a step. */
export interface Program {
  /** Binds what the graph reads of the state, the gradients it adds to, and the buffers it moves. */
  bind(state: State): void;
  /** Binds outputs that stay on the device. */
  bindOutputs(outputs: { readonly [G in OutputGroup]?: Named<Handle> }): void;
  /** Feeds that the graph has no input for are left out. Returns the outputs that are not bound. */
  run(feeds?: Feeds): Promise<Results>;
  release(): Promise<void>;
}

/** `stay`: the groups of outputs that will be bound beside those that belong to the state. */
export async function compileProgram(
  backend: Backend,
  outputs: Outputs,
  stay: readonly OutputGroup[] = [],
): Promise<Program> {
  const bound = (["update", "gradient", ...stay] as const).map((group) => [group, outputs[group]] as const);
  const executable = await backend.compile(flatten(outputs), Object.keys(flatten(Object.fromEntries(bound))));
  return {
    bind(state) {
      const inputs: Record<string, Handle> = {};
      const bound: Record<string, Handle> = {};
      for (const [flat, { shape }] of executable.inputs) {
        const { group, name } = split(flat);
        if (group === undefined) inputs[flat] = state.handle(name);
        if (group === "sum") inputs[flat] = state.handle(name, "gradient", shape);
      }
      for (const [flat, { shape }] of executable.outputs) {
        const { group, name } = split(flat);
        if (group === "update") bound[flat] = state.handle(name);
        if (group === "gradient") bound[flat] = state.handle(name, "gradient", shape);
      }
      executable.bind({ inputs, outputs: bound });
    },
    bindOutputs: (handles) => executable.bind({ outputs: flatten(handles) }),
    async run(feeds = {}) {
      const fed = Object.entries(flatten(feeds)).filter(([flat]) => executable.inputs.has(flat));
      const found = await executable.run(Object.fromEntries(fed));
      const results: Record<OutputGroup, Record<string, Tensor>> = {
        metric: {},
        update: {},
        gradient: {},
        encoded: {},
        cotangent: {},
      };
      for (const [flat, value] of Object.entries(found)) {
        const { group, name } = split(flat);
        results[group as OutputGroup][name] = value;
      }
      return results;
    },
    release: () => executable.release(),
  };
}

/** No PyTorch name has this sign. */
const separator = ":";

function flatName(group: string, name: string): string {
  return group + separator + name;
}

function split(flat: string): { group?: string; name: string } {
  const at = flat.indexOf(separator);
  return at === -1 ? { name: flat } : { group: flat.slice(0, at), name: flat.slice(at + 1) };
}

function flatten<T>(groups: { readonly [group: string]: Named<T> | undefined }): Record<string, T> {
  const all = Object.entries(groups).flatMap(([group, values = {}]) =>
    Object.entries(values).map(([name, value]) => [flatName(group, name), value] as const),
  );
  return Object.fromEntries(all);
}
