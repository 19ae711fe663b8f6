/** What a JPEG file says before its pixels begin. */

/** Numbers in the file are given by their offset in it. */
export interface BaselineHeader {
  readonly width: number;
  readonly height: number;
  /** Y, or Y, Cb and Cr. */
  readonly components: readonly Component[];
  /** Luma samples for a chroma sample, across and down. */
  readonly wide: 1 | 2;
  readonly tall: 1 | 2;
  /** MCUs (groups of blocks) between restart markers; 0 without them. */
  readonly restart: number;
  /** Where the coded pixels begin. */
  readonly scan: number;
}

export interface Component {
  /** 64 bytes, in zigzag order. */
  readonly divisors: number;
  /** Codes as in a DHT segment: 16 numbers of codes by length, then the symbols. */
  readonly dcCodes: number;
  readonly acCodes: number;
}

/**
 * The header of a plain file: baseline (Huffman codes, 8 bits, one scan), grey or YCbCr with chroma halved across, halved
 * both ways, or whole, to be shown as it lies and without a colour profile. Undefined for all others.
 */
export function baselineHeader(file: Uint8Array): BaselineHeader | undefined {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const divisors = new Map<number, number>();
  const codes = new Map<number, number>();
  let frame: Buffer | undefined;
  let restart = 0;
  let isYcc = false;
  for (let at = 2; at + 4 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1]!;
    const start = at + 4;
    at += 2 + bytes.readUInt16BE(at + 2);
    if (at < start || at > bytes.length) return undefined;
    const segment = bytes.subarray(start, at);
    if (marker === 0xdb) {
      if (!readDivisors(segment, start, divisors)) return undefined;
    } else if (marker === 0xc4) {
      if (!readCodes(segment, start, codes)) return undefined;
    } else if (marker === 0xc0 || marker === 0xc1) {
      if (frame !== undefined) return undefined;
      frame = segment;
    } else if (marker === 0xdd) {
      if (segment.length !== 2) return undefined;
      restart = segment.readUInt16BE(0);
    } else if (marker === 0xda) {
      const read = frame && readFrame(frame, segment, divisors, codes);
      if (read === undefined || (read.components.length === 3 && !(isYcc || hasUsualIds(frame!)))) return undefined;
      return { ...read, restart, scan: at };
    } else if (marker === 0xe0) {
      isYcc ||= startsWith(segment, "JFIF\0");
    } else if (marker === 0xe1) {
      if (startsWith(segment, "Exif\0\0") && !isUpright(segment.subarray(6))) return undefined;
    } else if (marker === 0xe2) {
      if (startsWith(segment, "ICC_PROFILE\0")) return undefined;
    } else if (marker === 0xee) {
      if (startsWith(segment, "Adobe") && segment[11] !== 1) return undefined; // 1: YCbCr
      isYcc ||= startsWith(segment, "Adobe");
    } else if (marker !== 0xfe && (marker & 0xf0) !== 0xe0) return undefined; // neither a comment nor an application's
  }
  return undefined;
}

function startsWith(segment: Buffer, text: string): boolean {
  return segment.toString("latin1", 0, text.length) === text;
}

function readDivisors(segment: Buffer, start: number, divisors: Map<number, number>): boolean {
  for (let at = 0; at < segment.length; at += 65) {
    if (segment[at]! > 3 || at + 65 > segment.length) return false; // above 15: of 16 bits
    divisors.set(segment[at]!, start + at + 1);
  }
  return true;
}

/** Tables of codes under 16 · class + number; class 1 is AC. */
function readCodes(segment: Buffer, start: number, codes: Map<number, number>): boolean {
  for (let at = 0; at < segment.length;) {
    const name = segment[at]!;
    const counts = segment.subarray(at + 1, at + 17);
    codes.set(name, start + at + 1);
    at += 17 + counts.reduce((sum, count) => sum + count, 0);
    if (at > segment.length) return false;
  }
  return true;
}

/** Frame and scan put together, if the scan is all of the frame. */
function readFrame(
  frame: Buffer,
  scan: Buffer,
  divisors: ReadonlyMap<number, number>,
  codes: ReadonlyMap<number, number>,
): Pick<BaselineHeader, "width" | "height" | "components" | "wide" | "tall"> | undefined {
  const count = frame[5]!;
  if (frame[0] !== 8 || frame.length !== 6 + 3 * count || scan.length !== 4 + 2 * count) return undefined;
  if ((count !== 1 && count !== 3) || scan[0] !== count) return undefined;
  const [height, width] = [frame.readUInt16BE(1), frame.readUInt16BE(3)];
  if (height === 0 || width === 0 || scan.readUIntBE(1 + 2 * count, 3) !== 0x003f00) return undefined; // not progressive
  const components: Component[] = [];
  for (let i = 0; i < count; i++) {
    const [id, , divisorsOf] = frame.subarray(6 + 3 * i);
    const [scanId, tables] = scan.subarray(1 + 2 * i);
    const found = {
      divisors: divisors.get(divisorsOf!),
      dcCodes: codes.get(tables! >> 4),
      acCodes: codes.get(16 | (tables! & 15)),
    };
    if (id !== scanId || Object.values(found).includes(undefined)) return undefined;
    components.push(found as Component);
  }
  if (count === 1) return { width, height, components, wide: 1, tall: 1 }; // whatever its factors: they are ratios
  const [luma, blue, red] = [frame[7]!, frame[10]!, frame[13]!];
  if (![0x11, 0x21, 0x22].includes(luma) || blue !== 0x11 || red !== 0x11) return undefined;
  return { width, height, components, wide: (luma >> 4) as 1 | 2, tall: (luma & 15) as 1 | 2 };
}

/** Without a JFIF or Adobe segment, libjpeg takes components called 1, 2, 3 for YCbCr. */
function hasUsualIds(frame: Buffer): boolean {
  return frame[6] === 1 && frame[9] === 2 && frame[12] === 3;
}

/** Whether EXIF data, a small TIFF, are well-formed and ask for no turning. */
function isUpright(tiff: Buffer): boolean {
  const isLittle = startsWith(tiff, "II*\0");
  if (!isLittle && !startsWith(tiff, "MM\0*")) return false;
  const number = (at: number, bytes: 2 | 4) => {
    if (at + bytes > tiff.length) return NaN;
    return isLittle ? tiff.readUIntLE(at, bytes) : tiff.readUIntBE(at, bytes);
  };
  const first = number(4, 4);
  const count = number(first, 2);
  if (!(first + 2 + 12 * count <= tiff.length)) return false;
  for (let at = first + 2; at < first + 2 + 12 * count; at += 12)
    if (number(at, 2) === 0x0112 && !(number(at + 2, 2) === 3 && number(at + 4, 4) === 1 && number(at + 8, 2) === 1))
      return false;
  return true;
}

/** Processes of JPEG other than the usual ones, by their marker. */
const processes: Readonly<Record<number, string>> = {
  0xc3: "a lossless JPEG",
  0xc5: "a hierarchical JPEG",
  0xc6: "a hierarchical JPEG",
  0xc7: "a hierarchical JPEG",
  0xcb: "a lossless JPEG",
  0xcd: "a hierarchical JPEG",
  0xce: "a hierarchical JPEG",
  0xcf: "a hierarchical JPEG",
  0xf7: "a JPEG-LS",
};

/** Why a file that the decoder refuses may be whole all the same; undefined where nothing speaks for it. */
export function unreadJpeg(file: Uint8Array): string | undefined {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  for (let at = 2; at + 10 <= bytes.length && bytes[at] === 0xff;) {
    const marker = bytes[at + 1]!;
    if (marker === 0xff) {
      at++; // a byte that fills
      continue;
    }
    const process = processes[marker];
    if (process !== undefined) return `it is ${process}, which is not read: convert it to PNG or a usual JPEG`;
    if (marker >= 0xc0 && marker <= 0xca && marker !== 0xc4 && marker !== 0xc8) {
      const [precision, components] = [bytes[at + 4]!, bytes[at + 9]!];
      if (precision !== 8) return `it has ${precision} bits a sample, and JPEG of 8 is read: convert it to PNG`;
      if (![1, 3, 4].includes(components)) return `its ${components} channels are neither grey nor RGB nor CMYK`;
      return undefined;
    }
    if (marker === 0xda) return undefined;
    at += 2 + bytes.readUInt16BE(at + 2);
  }
  return undefined;
}
