/** Graphs compiled by ONNX Runtime for Node. The only file that knows it. */
import ort from "onnxruntime-node";
import { ownThreads } from "./machine.ts";
import type { DType } from "../tensor/dtype.ts";
import { sameShape, show } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { fromDevice, toDevice } from "../graph/ops/device.ts";
import type { Target, Type, Value } from "../graph/value.ts";
import { lower } from "../onnx/lower.ts";
import type { Executable, Handle } from "./backend.ts";

export interface ExecutableOptions {
  /** Execution provider (default `cpu`); others need a build of the runtime that has them. */
  provider?: "cpu" | "webgpu" | "cuda";
  /** Threads of one run (default: the physical cores, as the runtime chooses, or as many as this process may use). */
  threads?: number;
  /** What graphs are lowered for (default `cpu`); `device` is for WebGPU, whose models have other types than their graphs. */
  target?: Target;
  /** Further options for `InferenceSession.create`. */
  session?: ort.InferenceSession.SessionOptions;
}

/** Compiles the graph behind the named outputs. Throws the runtime's message when a kernel is missing. */
export async function compile(
  outputs: Readonly<Record<string, Value>>,
  options: ExecutableOptions = {},
): Promise<Executable> {
  const { target = "cpu" } = options;
  const { model, inputs, outputs: given } = lower(outputs, {}, { target });
  const session = await ort.InferenceSession.create(model, sessionOptions(options));
  const types = new Map<string, Type>(Object.entries(outputs));
  const asFed = (handle: Handle) => (target === "device" ? toDevice(handle as Tensor) : handle);
  const feeds: Record<string, ort.Tensor> = {};
  const fetches: Record<string, ort.Tensor | null> = Object.fromEntries([...types.keys()].map((name) => [name, null]));

  return {
    inputs,
    outputs: types,
    bind(tensors) {
      for (const [name, value] of Object.entries(tensors.inputs ?? {}))
        feeds[name] = toRuntime(name, asFed(value), inputs.get(name));
      for (const [name, value] of Object.entries(tensors.outputs ?? {}))
        fetches[name] = toRuntime(name, value, given.get(name));
    },
    async run(more = {}) {
      const all = { ...feeds };
      for (const [name, value] of Object.entries(more)) all[name] = toRuntime(name, asFed(value), inputs.get(name));
      for (const name of inputs.keys()) if (!(name in all)) throw new Error(`input ${name} is neither bound nor fed`);
      const results = await session.run(all, fetches);
      const free = [...types.keys()].filter((name) => fetches[name] === null);
      return Object.fromEntries(free.map((name) => [name, hostValue(results[name]!, types.get(name)!)]));
    },
    release: () => session.release(),
  };
}

/** A tensor as the runtime has it, on the host or on a device. */
export type RuntimeTensor = ort.Tensor;

/** A model in the runtime, for backends whose tensors do not lie on the host. */
export interface Session {
  run(feeds: Readonly<Record<string, RuntimeTensor>>): Promise<Readonly<Record<string, RuntimeTensor>>>;
  release(): Promise<void>;
}

/**
 * Opens a model on a device. `onDevice` are the outputs that stay there. A node that the device cannot execute is an error:
 * to fall back to the CPU in the middle of a step would be slower than the CPU alone.
 */
export async function openDeviceSession(
  model: Uint8Array,
  outputs: readonly string[],
  onDevice: readonly string[],
  options: ExecutableOptions,
): Promise<Session> {
  const place = (name: string) => (onDevice.includes(name) ? "gpu-buffer" : "cpu");
  const session = await ort.InferenceSession.create(model, {
    ...sessionOptions(options),
    preferredOutputLocation: Object.fromEntries(outputs.map((name) => [name, place(name)])),
    extra: { session: { disable_cpu_ep_fallback: "1" } },
  });
  return { run: (feeds) => session.run(feeds), release: () => session.release() };
}

/** A tensor on the host for the runtime, which reads it where it is. */
export function hostTensor({ dtype, shape, data }: Tensor): RuntimeTensor {
  return new ort.Tensor(dtype, data, shape);
}

/** A model file, ours or not: shapes are what the file says, and are known once it has run. */
export interface ModelFile {
  run(feeds: Readonly<Record<string, Tensor>>): Promise<Record<string, Tensor<"float32">>>;
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
  threads = ownThreads(),
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

/** Every handle of this backend is a tensor on the host, whose memory the runtime uses as it is. */
function toRuntime(name: string, handle: Handle, type: Type | undefined): ort.Tensor {
  const { dtype, shape, data } = handle as Tensor;
  if (type === undefined) throw new Error(`the graph has no tensor named ${name}`);
  if (type.dtype !== dtype || !sameShape(type.shape, shape))
    throw new Error(`${name} must be ${type.dtype}${show(type.shape)}, but is ${dtype}${show(shape)}`);
  return new ort.Tensor(dtype, data, shape);
}

/** A result on the host, as the type that it is of in the graph. */
export function hostValue(result: ort.Tensor, { dtype, shape }: Type): Tensor {
  const found = tensor<DType>(result.type as DType, shape, result.data as Tensor["data"]);
  return found.dtype === dtype ? found : fromDevice(found, dtype);
}

/** Whether this build of the runtime knows an execution provider. It may still find no device, or lack a library. */
export function hasProvider(name: string): boolean {
  return ort.listSupportedBackends().some((each) => each.name === name);
}

/** Version of the runtime, for reports. */
export const runtimeVersion: string = ort.env.versions.node ?? ort.env.versions.common;
