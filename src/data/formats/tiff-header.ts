/** What a TIFF file says of its samples, which libvips does not tell: whose band is whose. */

export interface TiffHeader {
  /** Of the first page, as the file numbers them: https://www.loc.gov/preservation/digital/formats/content/tiff_tags.shtml */
  readonly compression: number;
  readonly photometric: number;
  readonly bits: number;
  /** Numbers a pixel. */
  readonly bands: number;
  /** What bands behind the colours are: 1 and 2 are transparency, 0 is anything. */
  readonly extra: readonly number[];
  /** Images of full size in the file: smaller copies and masks left out. */
  readonly pages: number;
}

const tags = { subfile: 254, bits: 258, compression: 259, photometric: 262, bands: 277, extra: 338 } as const;
const mostPages = 10_000;
const mostBands = 65_535;

/** The header, or undefined where it cannot be followed: then the decoder says what is wrong with the file. */
export function tiffHeader(file: Uint8Array): TiffHeader | undefined {
  const bytes = Buffer.from(file.buffer, file.byteOffset, file.byteLength);
  const isLittle = bytes[0] === 0x49;
  const isBig = (isLittle ? bytes[2] : bytes[3]) === 43;
  /** NaN behind the end of the file. */
  const number = (at: number, size: number): number => {
    if (!(at + size <= bytes.length)) return NaN;
    if (size === 8) return Number(isLittle ? bytes.readBigUInt64LE(at) : bytes.readBigUInt64BE(at));
    return isLittle ? bytes.readUIntLE(at, size) : bytes.readUIntBE(at, size);
  };
  const [word, countSize, entrySize, first] = isBig ? [8, 8, 20, 8] : [4, 2, 12, 4];

  /** Whole numbers of a tag; undefined where it is not there. */
  const values = (directory: number, tag: number): number[] | undefined => {
    const entries = number(directory, countSize);
    for (let i = 0; i < entries; i++) {
      const at = directory + countSize + entrySize * i;
      const found = number(at, 2);
      if (Number.isNaN(found)) return undefined;
      if (found !== tag) continue;
      const size = ({ 1: 1, 3: 2, 4: 4, 16: 8 } as Readonly<Record<number, number>>)[number(at + 2, 2)];
      const count = number(at + 4, word);
      if (size === undefined || !(count >= 1 && count <= mostBands)) return undefined;
      const start = size * count <= word ? at + 4 + word : number(at + 4 + word, word);
      return Array.from({ length: count }, (_, index) => number(start + size * index, size));
    }
    return undefined;
  };
  const value = (directory: number, tag: number, usual: number) => values(directory, tag)?.[0] ?? usual;

  const start = number(first, word);
  if (!(number(start, countSize) >= 1)) return undefined;
  const seen = new Set<number>();
  let pages = 0;
  for (let at = start; at > 0 && !seen.has(at) && seen.size < mostPages;) {
    seen.add(at);
    const entries = number(at, countSize);
    if (!(entries >= 1 && at + countSize + entrySize * entries <= bytes.length)) break;
    if ((value(at, tags.subfile, 0) & 5) === 0) pages++; // 1: a smaller copy, 4: a mask
    at = number(at + countSize + entrySize * entries, word);
  }
  const header = {
    compression: value(start, tags.compression, 1),
    photometric: value(start, tags.photometric, NaN),
    bits: value(start, tags.bits, 1),
    bands: value(start, tags.bands, 1),
    extra: values(start, tags.extra) ?? [],
    pages: Math.max(pages, 1),
  };
  const { compression, photometric, bits, bands } = header;
  return [compression, photometric, bits, bands].some(Number.isNaN) ? undefined : header;
}

/** Bands that are colours, by what the file says they mean. */
const colours: Readonly<Record<number, number>> = { 0: 1, 1: 1, 2: 3, 3: 1, 5: 4, 6: 3, 8: 3, 9: 3, 10: 3 };

/** What the bands of the first page are for. Throws a sentence when they are no image that can be shown. */
export function bandsOf({ photometric, compression, bands, extra }: TiffHeader): {
  colours: number;
  alpha: number | undefined;
  spare: number;
} {
  const count = colours[photometric];
  if (count === undefined)
    throw new Error(
      photometric === 32803 || photometric === 34892
        ? "it holds what a camera's sensor saw, not an image: develop it into a JPEG, PNG or TIFF of 8 or 16 bits"
        : `its colours are of a kind that is not read (photometric interpretation ${photometric}): convert it to RGB`,
    );
  if (photometric === 6 && compression !== 6 && compression !== 7)
    throw new Error("its colours are YCbCr without JPEG, which are not read: convert it to RGB");
  const others = bands - count;
  if (count === 1 && others > 1)
    throw new Error(
      `it has ${bands} channels, and does not say which of them are red, green and blue: make an RGB image of three of them`,
    );
  const found = extra.slice(0, Math.max(others, 0)).findIndex((meaning) => meaning === 1 || meaning === 2);
  const alpha = found < 0 ? undefined : found;
  return { colours: count, alpha, spare: Math.max(others, 0) - (alpha === undefined ? 0 : 1) };
}

/** Compressions that are not read. */
const compressions: Readonly<Record<number, string>> = {
  6: "JPEG of before 1995",
  32809: "ThunderScan",
  32908: "PIXAR",
  32909: "PIXAR",
  33003: "JPEG 2000",
  33004: "JPEG 2000",
  33005: "JPEG 2000",
  34661: "JBIG",
  34676: "SGI's LogLuv",
  34677: "SGI's LogLuv",
  34712: "JPEG 2000",
  34887: "LERC",
  34892: "lossy JPEG of DNG",
  34925: "LZMA",
  34934: "JPEG XR",
  50000: "Zstandard",
  50001: "WebP",
  50002: "JPEG XL",
  52546: "JPEG XL",
};

/** Why a file that the decoder refuses may be whole all the same; undefined where nothing speaks for it. */
export function unreadTiff({ compression, photometric, bits }: TiffHeader): string | undefined {
  const packed = [1, 2, 3, 4, 5, 7, 8, 32773, 32946];
  if (!packed.includes(compression))
    return `it is compressed in a way that is not read (${compressions[compression] ?? `number ${compression}`}): save it with LZW, Deflate or no compression`;
  if (![1, 2, 4, 8, 16, 32].includes(bits)) return `it has ${bits} bits a sample: convert it to 8 or 16`;
  if (photometric >= 8) return "its colours are of a kind of CIELAB that is not read: convert it to RGB";
  return undefined;
}
