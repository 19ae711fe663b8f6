/**
 * Plain JPEG files to pixels, in WebAssembly on this thread: the same pixels as libjpeg's, bit for bit, in less time than
 * libvips takes, and where only a part is looked at, in less still.
 */
import type { BaselineHeader } from "./jpeg-header.ts";
import { openKernel } from "../kernel-memory.ts";
import type { DecodeHint, Pixels } from "../source.ts";

/** Exports of assembly/jpeg.ts; addresses as described there. A result of 0 means that something is not as it should be. */
interface Kernel {
  heapBase(): number;
  tableBytes(): number;
  makeTable(table: number, codes: number, isAc: 0 | 1): 0 | 1;
  makeDivisors(divisors: number, zigzag: number): void;
  decode(
    from: number,
    end: number,
    clean: number,
    restart: number,
    across: number,
    down: number,
    left: number,
    top: number,
    right: number,
    bottom: number,
    blocks: number,
    count: number,
  ): 0 | 1;
  paint(
    y: number,
    pitch: number,
    cb: number,
    cr: number,
    chromaPitch: number,
    wide: 0 | 1,
    tall: 0 | 1,
    across: number,
    down: number,
    left: number,
    top: number,
    right: number,
    bottom: number,
    to: number,
    width: number,
  ): void;
  paintGrey(
    y: number,
    pitch: number,
    left: number,
    top: number,
    right: number,
    bottom: number,
    to: number,
    width: number,
  ): void;
}

/** The kernel's memory stays as large as the largest image needed: about 80 MB for this many pixels. */
const maxPixels = 2 ** 24;

/** libjpeg filters no chroma that is narrower than three samples. */
const minWidth = 5;

const file = new URL("../../kernels/jpeg.wasm", import.meta.url);
const { kernel, reserve, bytesAt, intsAt } = await openKernel<Kernel>(file);

/** Pixels of a file with this header, or undefined when it is damaged or its size calls for another way. */
export function decodeBaseline(bytes: Uint8Array, header: BaselineHeader, hint?: DecodeHint): Pixels | undefined {
  const { width, height, components, wide, tall, restart, scan } = header;
  if (width * height > maxPixels || width < minWidth) return undefined;
  const box = hint?.region(width, height) ?? { left: 0, top: 0, width, height };
  const [right, bottom] = [box.left + box.width, box.top + box.height];
  const left = box.left & ~15;
  const across = Math.ceil(width / (8 * wide));
  const down = Math.ceil(height / (8 * tall));
  const pitch = across * 8 * wide + 16;
  const chromaPitch = across * 8 + 32;
  const tableBytes = kernel.tableBytes();
  const isColour = components.length === 3;
  const chromaBytes = isColour ? chromaPitch * down * 8 + 32 : 0;
  const count = isColour ? wide * tall + 2 : 1;
  const at = reserve({
    tables: 6 * tableBytes,
    divisors: 3 * 128,
    levels: 3 * 4,
    blocks: count * 32,
    source: bytes.length + 32,
    clean: bytes.length + 2048 + 64,
    y: pitch * down * 8 * tall + 32,
    cb: chromaBytes,
    cr: chromaBytes,
    pixels: width * height * 3 + 64,
  });
  const [cb, cr] = [at.cb + 16, at.cr + 16];

  bytesAt(at.source, bytes.length).set(bytes);
  const blocks = intsAt(at.blocks, count * 8);
  let block = 0;
  for (const [i, { divisors, dcCodes, acCodes }] of components.entries()) {
    const dc = at.tables + 2 * i * tableBytes;
    const ac = dc + tableBytes;
    if (!kernel.makeTable(dc, at.source + dcCodes, 0) || !kernel.makeTable(ac, at.source + acCodes, 1))
      return undefined;
    kernel.makeDivisors(at.divisors + i * 128, at.source + divisors);
    const [plane, rowBytes, w, h] = i === 0 ? [at.y, pitch, wide, tall] : [i === 1 ? cb : cr, chromaPitch, 1, 1];
    for (let v = 0; v < h; v++)
      for (let u = 0; u < w; u++) {
        const to = plane + 8 * (v * rowBytes + u);
        blocks.set(
          [dc, ac, at.divisors + i * 128, at.levels + 4 * i, to, rowBytes, 8 * w, 8 * h * rowBytes],
          8 * block++,
        );
      }
  }
  // A chroma sample's neighbours weigh in.
  const [marginX, marginY] = [2 * (wide - 1), 2 * (tall - 1)];
  const isWhole = kernel.decode(
    at.source + scan,
    at.source + bytes.length,
    at.clean,
    restart,
    across,
    down,
    Math.floor(Math.max(0, left - marginX) / (8 * wide)),
    Math.floor(Math.max(0, box.top - marginY) / (8 * tall)),
    Math.min(across, Math.ceil((right + marginX) / (8 * wide))),
    Math.min(down, Math.ceil((bottom + marginY) / (8 * tall))),
    at.blocks,
    count,
  );
  if (!isWhole) return undefined;
  if (isColour)
    kernel.paint(
      at.y,
      pitch,
      cb,
      cr,
      chromaPitch,
      wide === 2 ? 1 : 0,
      tall === 2 ? 1 : 0,
      Math.ceil(width / wide),
      Math.ceil(height / tall),
      left,
      box.top,
      right,
      bottom,
      at.pixels,
      width,
    );
  else kernel.paintGrey(at.y, pitch, left, box.top, right, bottom, at.pixels, width);
  const data = hint?.memory(width * height * 3) ?? new Uint8Array(width * height * 3);
  const [first, last] = [box.top * width * 3, bottom * width * 3];
  data.set(bytesAt(at.pixels + first, last - first), first);
  return { width, height, data };
}
