/** A device's backend. What goes wrong on a device is said in one sentence, with what to do. */
import { findAdapter, firstLine, whyNoCuda } from "./adapter.ts";
import type { Backend } from "./backend.ts";
import { cpu } from "./cpu.ts";
import type { Device, DeviceOptions } from "./device.ts";
import { type ModelFile, openModelFile } from "./executable.ts";
import { webgpu } from "./webgpu.ts";

/** Nothing is opened yet: that a device cannot be used is said when the first graph is compiled. */
export function openBackend({ device = "cpu", threads }: DeviceOptions = {}): Backend {
  const options = { threads };
  if (device === "cpu") return cpu(options);
  const tell = (error: unknown) => explain(error as Error, device);
  const { compile, allocate, place } = device === "webgpu" ? webgpu(options) : cpu({ ...options, provider: "cuda" });
  return {
    name: device,
    compile: (outputs, bound) => compile(outputs, bound).then((program) => telling(program, tell), tell),
    allocate: (allocation) => allocate(allocation).then((state) => telling(state, tell), tell),
    ...(place === undefined ? {} : { place }),
  };
}

/** A model file, ours or not, on a device; what the device has no kernel for runs on the processor. */
export async function openFile(path: string, { device = "cpu", threads }: DeviceOptions = {}): Promise<ModelFile> {
  const options = { provider: device, threads };
  if (device === "cpu") return openModelFile(path, options);
  const tell = (error: unknown) => explain(error as Error, device);
  return telling(await openModelFile(path, options).catch(tell), tell);
}

/** The device is gone: reset, unplugged, or taken away by its driver. What it held is lost, also for this process. */
export class DeviceLostError extends Error {}

/** Rejects with what the reader needs in place of an error of the device; other errors stay as they are. */
async function explain(error: Error, device: Device): Promise<never> {
  const sentence = await describe(error, device);
  if (sentence === undefined) throw error;
  const Kind = isLoss(error) ? DeviceLostError : Error;
  throw new Kind(sentence, { cause: error });
}

/** One sentence for an error that the device is the reason of. */
export async function describe(error: Error, device: Device): Promise<string | undefined> {
  const { message } = error;
  if (isLoss(error)) return `the ${device} device was lost (${firstLine(message)})`;
  if (tooLarge.test(message))
    return (
      `the ${device} device has too little memory, or takes no tensor so large (${firstLine(message)}): take a smaller ` +
      "micro-batch, compute blocks again (recompute), or use the device cpu"
    );
  if (/fallback to CPU EP/.test(message))
    return `the device ${device} has no kernel for an operation of this graph, but cpu has: use the device cpu`;
  if (!/WebGPU adapter|backend not found|no available backend|shared library|append.*provider/i.test(message))
    return undefined;
  const reason = device === "cuda" ? await whyNoCuda() : reasonIn(await findAdapter());
  return `the device ${device} cannot be used here, but cpu can: ${reason ?? firstLine(message)}`;
}

/** WebGPU makes an invalid buffer of one that it cannot have, and says so when the buffer is used. */
const tooLarge =
  /out of memory|out_of_(device|host)_memory|allocation size|too many storage buffers|\[invalid buffer|failed to allocate|bad_alloc/i;

function isLoss({ message }: Error): boolean {
  return /device (is |was )?lost|devicelost|external instance reference no longer exists/i.test(message);
}

function reasonIn(adapter: Awaited<ReturnType<typeof findAdapter>>): string | undefined {
  return "reason" in adapter ? adapter.reason : undefined;
}

/** The same, whose functions reject by way of `tell`. What is lost need not be freed. */
function telling<T extends object>(target: T, tell: (error: unknown) => Promise<never>): T {
  const entries = Object.entries(target).map(([name, value]: [string, unknown]) => {
    if (typeof value !== "function") return [name, value] as const;
    const call = (...args: readonly unknown[]): unknown => {
      const result: unknown = Reflect.apply(value, target, args);
      if (!(result instanceof Promise)) return result;
      return result.catch((error: Error) => (name === "release" && isLoss(error) ? undefined : tell(error)));
    };
    return [name, call] as const;
  });
  return Object.fromEntries(entries) as T;
}
