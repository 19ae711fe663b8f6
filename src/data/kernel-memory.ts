/** A WebAssembly kernel (assembly/) with a memory of its own, one per thread, and room in that memory. */

export interface KernelMemory<Kernel> {
  readonly kernel: Kernel;
  /**
   * Addresses for blocks of the given sizes (in bytes), 16-byte aligned, one after the other. They stay valid until the
   * next call: a task asks once, for all that it needs.
   */
  reserve<Name extends string>(sizes: Readonly<Record<Name, number>>): Record<Name, number>;
  /** Bytes of the memory. Take a fresh view after `reserve`, which may move it. */
  bytesAt(address: number, length: number): Uint8Array<ArrayBuffer>;
  intsAt(address: number, length: number): Int32Array<ArrayBuffer>;
  floatsAt(address: number, length: number): Float32Array<ArrayBuffer>;
}

/** `Kernel` describes the exports of the compiled `file`. */
export async function openKernel<Kernel extends { heapBase(): number }>(file: URL): Promise<KernelMemory<Kernel>> {
  const memory = new WebAssembly.Memory({ initial: 1 });
  const code =
    file.protocol === "file:"
      ? await (await import("node:fs/promises")).readFile(file)
      : await (await fetch(file)).arrayBuffer(); // in a browser
  const { exports } = await WebAssembly.instantiate(await WebAssembly.compile(code), { env: { memory } });
  const kernel = exports as unknown as Kernel;
  return {
    kernel,
    reserve<Name extends string>(sizes: Readonly<Record<Name, number>>) {
      let end = align(kernel.heapBase());
      const addresses: Record<Name, number> = { ...sizes };
      for (const name in sizes) {
        addresses[name] = end;
        end = align(end + sizes[name]);
      }
      const missing = end - memory.buffer.byteLength;
      if (missing > 0) memory.grow(Math.ceil(missing / 65536));
      return addresses;
    },
    bytesAt: (address, length) => new Uint8Array(memory.buffer, address, length),
    intsAt: (address, length) => new Int32Array(memory.buffer, address, length),
    floatsAt: (address, length) => new Float32Array(memory.buffer, address, length),
  };
}

function align(address: number): number {
  return (address + 15) & ~15;
}
