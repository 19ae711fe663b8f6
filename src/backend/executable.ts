/** Compiled graphs. The only file that knows onnxruntime. */
import ort from "onnxruntime-node";
import type { DType } from "../tensor/dtype.ts";
import { sameShape, show } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { Type, Value } from "../graph/value.ts";
import { lower } from "../onnx/lower.ts";

export interface ExecutableOptions {
  /** Execution provider (default `cpu`); others need a build of the runtime that has them. */
  provider?: "cpu" | "webgpu" | "cuda" | "dml" | "coreml";
  /** Threads of one run (default: the runtime's choice, the number of physical cores). */
  threads?: number;
  /** Further options for `InferenceSession.create`. */
  session?: ort.InferenceSession.SessionOptions;
}

/**
 * A graph ready to run. What `bind` names stays in place from run to run: bound inputs are read from, bound outputs
 * written to the same host memory without a copy. One tensor may be both, if its only reader is its writer: that is how
 * gradients accumulate in place.
 */
export interface Executable {
  readonly inputs: ReadonlyMap<string, Type>;
  readonly outputs: ReadonlyMap<string, Type>;
  /** Ties inputs and outputs to memory. Throws when a name is unknown or a type differs. */
  bind(tensors: { inputs?: Tensors; outputs?: Tensors }): void;
  /** Computes all outputs from the inputs that are not bound. Returns the outputs that are not bound. */
  run(feeds?: Tensors): Promise<Record<string, Tensor>>;
  /** Frees the session. */
  release(): Promise<void>;
}
export type Tensors = Readonly<Record<string, Tensor>>;

/** Compiles the graph behind the named outputs. Throws the runtime's message when a kernel is missing. */
export async function compile(
  outputs: Readonly<Record<string, Value>>,
  options: ExecutableOptions = {},
): Promise<Executable> {
  const { model, inputs } = lower(outputs);
  const session = await ort.InferenceSession.create(model, sessionOptions(options));
  const types = new Map<string, Type>(Object.entries(outputs));
  const feeds: Record<string, ort.Tensor> = {};
  const fetches: Record<string, ort.Tensor | null> = Object.fromEntries([...types.keys()].map((name) => [name, null]));

  return {
    inputs,
    outputs: types,
    bind(tensors) {
      for (const [name, value] of Object.entries(tensors.inputs ?? {}))
        feeds[name] = toRuntime(name, value, inputs.get(name));
      for (const [name, value] of Object.entries(tensors.outputs ?? {}))
        fetches[name] = toRuntime(name, value, types.get(name));
    },
    async run(more = {}) {
      const all = { ...feeds };
      for (const [name, value] of Object.entries(more)) all[name] = toRuntime(name, value, inputs.get(name));
      for (const name of inputs.keys()) if (!(name in all)) throw new Error(`input ${name} is neither bound nor fed`);
      const results = await session.run(all, fetches);
      const free = [...types.keys()].filter((name) => fetches[name] === null);
      return Object.fromEntries(free.map((name) => [name, fromRuntime(results[name]!, types.get(name)!)]));
    },
    release: () => session.release(),
  };
}

/** A model file, ours or not: shapes are what the file says, and are known once it has run. */
export interface ModelFile {
  run(feeds: Tensors): Promise<Record<string, Tensor<"float32">>>;
  release(): Promise<void>;
}

/** Opens a model whose outputs are float32. Throws the runtime's message when it cannot be loaded. */
export async function openModelFile(path: string, options: ExecutableOptions = {}): Promise<ModelFile> {
  const session = await ort.InferenceSession.create(path, sessionOptions(options));
  return {
    async run(feeds) {
      const given = Object.entries(feeds).map(([name, { dtype, data, shape }]) => [
        name,
        new ort.Tensor(dtype, data, shape),
      ]);
      const results = await session.run(Object.fromEntries(given) as Record<string, ort.Tensor>);
      const taken = Object.entries(results).map(([name, { data, dims }]) => [
        name,
        tensor("float32", dims, data as Float32Array),
      ]);
      return Object.fromEntries(taken) as Record<string, Tensor<"float32">>;
    },
    release: () => session.release(),
  };
}

function sessionOptions({
  provider = "cpu",
  threads,
  session,
}: ExecutableOptions): ort.InferenceSession.SessionOptions {
  return {
    executionProviders: [provider],
    // Measured: memory patterns nearly double the peak at the same speed, and the graph is already in its final form.
    enableMemPattern: false,
    enableCpuMemArena: true,
    executionMode: "sequential",
    graphOptimizationLevel: "basic",
    ...(threads === undefined ? {} : { intraOpNumThreads: threads }),
    logSeverityLevel: 3,
    ...session,
  };
}

function toRuntime(name: string, { dtype, shape, data }: Tensor, type: Type | undefined): ort.Tensor {
  if (type === undefined) throw new Error(`the graph has no tensor named ${name}`);
  if (type.dtype !== dtype || !sameShape(type.shape, shape))
    throw new Error(`${name} must be ${type.dtype}${show(type.shape)}, but is ${dtype}${show(shape)}`);
  return new ort.Tensor(dtype, data, shape);
}

function fromRuntime(result: ort.Tensor, { dtype, shape }: Type): Tensor {
  return tensor<DType>(dtype, shape, result.data as Tensor["data"]);
}

/** Version of the runtime, for reports. */
export const runtimeVersion: string = ort.env.versions.node ?? ort.env.versions.common;
