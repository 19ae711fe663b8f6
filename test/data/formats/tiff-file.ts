/** Writes TIFF files that other writers would not. */

export interface TiffOptions {
  readonly bits?: number;
  readonly bands?: number;
  readonly rows?: number;
  /** 1 unsigned, 2 signed, 3 float. */
  readonly sampleFormat?: number;
  readonly photometric?: number;
  readonly compression?: number;
  /** What each band behind the colours is: 2 transparency, 0 anything. */
  readonly extra?: readonly number[];
  readonly pages?: number;
}

/** A TIFF of these samples, a row of pixels unless said otherwise; all its pages show the same. */
export function tiff(data: Uint8Array, options: TiffOptions): Buffer {
  const {
    bits = 8,
    bands = 1,
    rows = 1,
    sampleFormat = 1,
    photometric = 1,
    compression = 1,
    extra,
    pages = 1,
  } = options;
  const entries: [tag: number, values: readonly number[]][] = [
    [256, [Math.floor((data.length * 8) / bits / bands / rows)]],
    [257, [rows]],
    [258, Array<number>(bands).fill(bits)],
    [259, [compression]],
    [262, [photometric]],
    [273, [8]],
    [277, [bands]],
    [278, [rows]],
    [279, [data.length]],
    ...(extra === undefined ? [] : [[338, extra] as [number, readonly number[]]]),
    [339, Array<number>(bands).fill(sampleFormat)],
  ];
  const directorySize = 2 + entries.length * 12 + 4;
  const lists = entries.reduce((sum, [, values]) => sum + (values.length > 2 ? 2 * values.length : 0), 0);
  const size = directorySize + lists + (lists % 2);
  const start = 8 + data.length + (data.length % 2);
  const file = Buffer.alloc(start + pages * size);
  file.set(Buffer.from("II*\0", "latin1"));
  file.writeUInt32LE(start, 4);
  file.set(data, 8);
  for (let page = 0; page < pages; page++) {
    const at = start + page * size;
    let free = at + directorySize;
    file.writeUInt16LE(entries.length, at);
    for (const [i, [tag, values]] of entries.entries()) {
      const entry = at + 2 + i * 12;
      const isNumber = values.length === 1; // of 32 bits; lists are of 16
      file.writeUInt16LE(tag, entry);
      file.writeUInt16LE(isNumber ? 4 : 3, entry + 2);
      file.writeUInt32LE(values.length, entry + 4);
      if (isNumber) file.writeUInt32LE(values[0]!, entry + 8);
      else {
        const to = values.length > 2 ? free : entry + 8;
        if (values.length > 2) {
          file.writeUInt32LE(free, entry + 8);
          free += 2 * values.length;
        }
        for (const [k, value] of values.entries()) file.writeUInt16LE(value, to + 2 * k);
      }
    }
    file.writeUInt32LE(page + 1 < pages ? at + size : 0, at + directorySize - 4);
  }
  return file;
}
