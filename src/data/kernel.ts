/** The augmentation kernel (assembly/augment.ts), one instance and one memory per thread, and room in that memory. */

/** Exports of assembly/augment.ts; addresses and strides as described there. */
export interface Kernel {
  heapBase(): number;
  weigh(
    filter: 0 | 1,
    size: number,
    target: number,
    first: number,
    count: number,
    bounds: number,
    weights: number,
    taps: number,
  ): void;
  resample(
    source: number,
    pitch: number,
    boundsX: number,
    weightsX: number,
    tapsX: number,
    boundsY: number,
    weightsY: number,
    tapsY: number,
    width: number,
    height: number,
    flip: 0 | 1,
    line: number,
    middle: number,
    canvas: number,
    stride: number,
  ): void;
  brightness(canvas: number, count: number, stride: number, factor: number): void;
  contrast(canvas: number, count: number, stride: number, factor: number): void;
  saturation(canvas: number, count: number, stride: number, factor: number): void;
  hue(canvas: number, count: number, stride: number, turn: number): void;
  solarize(canvas: number, count: number, stride: number, threshold: number): void;
  solarizeAdd(canvas: number, count: number, stride: number, amount: number): void;
  invert(canvas: number, count: number, stride: number): void;
  posterize(canvas: number, count: number, stride: number, step: number): void;
  autocontrast(canvas: number, count: number, stride: number): void;
  equalize(canvas: number, count: number, stride: number): void;
  sharpness(canvas: number, width: number, height: number, stride: number, factor: number, plane: number): void;
  affine(
    canvas: number,
    width: number,
    height: number,
    stride: number,
    a: number,
    b: number,
    c: number,
    d: number,
    e: number,
    f: number,
    red: number,
    green: number,
    blue: number,
    plane: number,
  ): void;
  blur(
    canvas: number,
    width: number,
    height: number,
    stride: number,
    weights: number,
    radius: number,
    line: number,
    plane: number,
  ): void;
  normalize(
    canvas: number,
    count: number,
    stride: number,
    target: number,
    scaleR: number,
    scaleG: number,
    scaleB: number,
    offsetR: number,
    offsetG: number,
    offsetB: number,
  ): void;
}

const memory = new WebAssembly.Memory({ initial: 1 });
const file = new URL("../kernels/augment.wasm", import.meta.url);
const code =
  file.protocol === "file:"
    ? await (await import("node:fs/promises")).readFile(file)
    : await (await fetch(file)).arrayBuffer(); // in a browser
const { exports } = await WebAssembly.instantiate(await WebAssembly.compile(code), { env: { memory } });

/** The kernel of this thread. */
export const kernel = exports as unknown as Kernel;

/**
 * Addresses for blocks of the given sizes (in bytes), 16-byte aligned, one after the other. They stay valid until the
 * next call: an augmentation asks once, for all that it needs.
 */
export function reserve<Name extends string>(sizes: Readonly<Record<Name, number>>): Record<Name, number> {
  let end = align(kernel.heapBase());
  const addresses: Record<Name, number> = { ...sizes };
  for (const name in sizes) {
    addresses[name] = end;
    end = align(end + sizes[name]);
  }
  const missing = end - memory.buffer.byteLength;
  if (missing > 0) memory.grow(Math.ceil(missing / 65536));
  return addresses;
}

/** Bytes of the kernel's memory. Take a fresh view after `reserve`, which may move it. */
export function bytesAt(address: number, length: number): Uint8Array {
  return new Uint8Array(memory.buffer, address, length);
}

/** Floats of the kernel's memory. */
export function floatsAt(address: number, length: number): Float32Array {
  return new Float32Array(memory.buffer, address, length);
}

function align(address: number): number {
  return (address + 15) & ~15;
}
