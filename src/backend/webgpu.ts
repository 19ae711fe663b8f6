/**
 * A GPU through ONNX Runtime's WebGPU provider. The training state stays on the device from step to step: only the batch
 * goes in, and loss, norm and metrics come out.
 */
import { sameShape, show } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import { toDevice } from "../graph/ops/device.ts";
import type { Type, Value } from "../graph/value.ts";
import { lower } from "../onnx/lower.ts";
import type { Backend, Executable, Handle } from "./backend.ts";
import { allocateOnDevice } from "./device-state.ts";
import { DeviceTensor, groupsOf, isHost, isView, viewOf } from "./device-tensor.ts";
import { type ExecutableOptions, hostTensor, hostValue, openDeviceSession, type RuntimeTensor } from "./executable.ts";

export function webgpu(options: Omit<ExecutableOptions, "provider"> = {}): Backend {
  const settings = { ...options, provider: "webgpu" } as const;
  const compile: Backend["compile"] = (outputs, bound = []) => compileOn(settings, outputs, bound);
  return {
    name: "webgpu",
    compile,
    allocate: (allocation) => allocateOnDevice(compile, allocation),
    place(shape) {
      const place = new DeviceTensor(shape);
      return Object.assign(viewOf(place), { release: () => place.free() });
    },
  };
}

async function compileOn(
  options: ExecutableOptions,
  outputs: Readonly<Record<string, Value>>,
  bound: readonly string[],
): Promise<Executable> {
  const { model, inputs } = lower(outputs, {}, { target: "device" });
  const types = new Map<string, Type>(Object.entries(outputs));
  const session = await openDeviceSession(model, [...types.keys()], bound, options);
  const feeds = new Map<string, Handle>();
  const fetches = new Map<string, DeviceTensor>();
  /** What was bound from the host: sent once, before the first run that needs it. */
  const sent = new Map<string, DeviceTensor>();
  /** What sent it. The runtime frees a tensor with the session that made it, which must not have gone before. */
  const senders: Executable[] = [];

  return {
    inputs,
    outputs: types,
    bind(handles) {
      for (const [name, handle] of Object.entries(handles.inputs ?? {})) {
        feeds.set(name, checked(name, handle, inputs.get(name)));
        sent.get(name)?.free();
        sent.delete(name);
      }
      for (const [name, handle] of Object.entries(handles.outputs ?? {})) {
        const place = checked(name, handle, types.get(name));
        if (!isView(place)) throw new Error(`${name} is bound to a tensor that does not lie on this device`);
        fetches.set(name, place.place);
      }
    },
    async run(more = {}) {
      const waiting = [...feeds].filter(([name, handle]) => isHost(handle) && !sent.has(name)) as [string, Tensor][];
      for (const [name, place] of await send(options, waiting, senders)) sent.set(name, place);
      const all: Record<string, RuntimeTensor> = {};
      for (const name of inputs.keys()) {
        const handle = name in more ? checked(name, more[name]!, inputs.get(name)) : feeds.get(name);
        if (handle === undefined) throw new Error(`input ${name} is neither bound nor fed`);
        const place = isView(handle) ? handle.place : name in more ? undefined : sent.get(name);
        all[name] = place === undefined ? hostTensor(handle as Tensor) : place.as(handle.shape);
      }
      const unknown = Object.keys(more).find((name) => !inputs.has(name));
      if (unknown !== undefined) throw new Error(`the graph has no tensor named ${unknown}`);
      const results = await session.run(all);
      const host: Record<string, Tensor> = {};
      for (const name of types.keys()) {
        const place = fetches.get(name);
        if (place !== undefined) place.replace(results[name]!);
        else if (bound.includes(name)) results[name]!.dispose();
        else host[name] = hostValue(results[name]!, types.get(name)!);
      }
      return host;
    },
    async release() {
      for (const place of sent.values()) place.free();
      for (const each of senders) await each.release();
      await session.release();
    },
  };
}

/** Puts tensors on the device; `senders` gets the graphs that did, to be released after the tensors are. */
async function send(
  options: ExecutableOptions,
  tensors: readonly (readonly [string, Tensor])[],
  senders: Executable[],
): Promise<Map<string, DeviceTensor>> {
  const places = new Map(tensors.map(([name, { shape }]) => [name, new DeviceTensor(shape)]));
  for (const group of groupsOf(tensors, ([, { data }]) => data.length)) {
    const names = group.map(([name]) => name);
    const outputs = group.map(([name, { shape }]) => [name, op.input(`host.${name}`, "float32", shape)] as const);
    const copy = await compileOn(options, Object.fromEntries(outputs), names);
    copy.bind({ outputs: Object.fromEntries(names.map((name) => [name, viewOf(places.get(name)!)])) });
    await copy.run(Object.fromEntries(group.map(([name, value]) => [`host.${name}`, value])));
    senders.push(copy);
  }
  return places;
}

/** The handle as the graph takes it. */
function checked(name: string, given: Handle, type: Type | undefined): Handle {
  const handle = isHost(given) ? toDevice(given) : given;
  if (type === undefined) throw new Error(`the graph has no tensor named ${name}`);
  if (type.dtype !== handle.dtype || !sameShape(type.shape, handle.shape))
    throw new Error(`${name} must be ${type.dtype}${show(type.shape)}, but is ${handle.dtype}${show(handle.shape)}`);
  return handle;
}
