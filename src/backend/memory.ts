/**
 * Training state in WebAssembly memory: the runtime reads and writes it in place as tensors, and the optimizer's kernel
 * passes over the same bytes. One memory ends at 4 GiB, so large models take several.
 */
import { readFile } from "node:fs/promises";
import { type Shape, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";

/** The functions of assembly/optimizer.ts; pointers are byte offsets, lengths count floats. */
export interface Kernel {
  /** w, g, m, v, length, rate, decay, beta1, beta2, epsilon, 1 - beta1^t, 1 - beta2^t, gradient scale. */
  adamw(...args: number[]): void;
  average(target: number, source: number, length: number, momentum: number): void;
  sumOfSquares(x: number, length: number): number;
}

/** Arrays that one pass reads together, hence in one memory. */
export interface Block {
  readonly kernel: Kernel;
  /** Byte offset of each array by name. */
  readonly pointers: Readonly<Record<string, number>>;
  /** Floats in each array, padded to a multiple of four. */
  readonly length: number;
  readonly tensors: Readonly<Record<string, Tensor<"float32">>>;
}

const pageBytes = 65536;
const memoryBytes = 2 ** 32 - pageBytes;
const module = readFile(new URL("../kernels/optimizer.wasm", import.meta.url)).then((bytes) =>
  WebAssembly.compile(bytes),
);

/** Zero-filled float32 arrays: for every block, arrays of one shape under the given names. */
export async function allocateBlocks(
  wanted: readonly { readonly shape: Shape; readonly arrays: readonly string[] }[],
): Promise<Block[]> {
  const padded = ({ shape }: { shape: Shape }) => Math.ceil(sizeOf(shape) / 4) * 4;
  const blocks: Block[] = [];
  for (let start = 0; start < wanted.length;) {
    let bytes = 1024; // the first bytes stay unused, so that no pointer is 0
    let end = start;
    for (; end < wanted.length; end++) {
      const more = wanted[end]!.arrays.length * padded(wanted[end]!) * 4;
      if (more > memoryBytes - 1024) throw new Error(`a parameter of ${more} bytes does not fit in a 4 GiB memory`);
      if (bytes + more > memoryBytes) break;
      bytes += more;
    }
    const pages = Math.ceil(bytes / pageBytes);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages });
    const instance = await WebAssembly.instantiate(await module, { env: { memory, abort } });
    const kernel = instance.exports as unknown as Kernel;
    let offset = 1024;
    for (const each of wanted.slice(start, end)) {
      const length = padded(each);
      const pointers: Record<string, number> = {};
      const tensors: Record<string, Tensor<"float32">> = {};
      for (const name of each.arrays) {
        pointers[name] = offset;
        tensors[name] = tensor("float32", each.shape, new Float32Array(memory.buffer, offset, sizeOf(each.shape)));
        offset += length * 4;
      }
      blocks.push({ kernel, pointers, length, tensors });
    }
    start = end;
  }
  return blocks;
}

function abort(): never {
  throw new Error("the optimizer kernel aborted");
}
