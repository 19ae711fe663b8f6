/** Writes baseline JPEG files as no encoder at hand does: any sampling factors, restart markers, codes of 2 to 16 bits. */
import { Random, type Key } from "../../../src/tensor/random.ts";

export interface Layout {
  readonly width: number;
  readonly height: number;
  /** Sampling factors of each component, across and down: 0x21. */
  readonly factors: readonly number[];
  /** MCUs between restart markers; 0: none. */
  readonly restart?: number;
  readonly seed: Key;
}

/** DC: differences of 0 to 11 bits. AC: an end of block by 2 bits, four more symbols by 4, the others by 9 and 16. */
const dcSymbols = [4, 2, 3, 1, 0, 5, 6, 7, 8, 9, 10, 11];
const acSymbols = [0x00, 0x01, 0x02, 0x11, 0x03, 0xf0].concat(
  Array.from({ length: 256 }, (_, i) => i).filter(
    (symbol) => (symbol & 15) >= 1 && (symbol & 15) <= 10 && ![0x01, 0x02, 0x11, 0x03].includes(symbol),
  ),
);
const dcCounts = [0, 1, 2, 3, 3, 3];
const acCounts = [0, 1, 0, 4, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, acSymbols.length - 65];

/** A file of random coefficients. */
export function jpegFile({ width, height, factors, restart = 0, seed }: Layout): Buffer {
  const random = new Random(seed);
  const sides = factors.map((factor) => (factors.length === 1 ? [1, 1] : [factor >> 4, factor & 15]));
  const mcuWidth = 8 * Math.max(...sides.map(([across]) => across!));
  const mcuHeight = 8 * Math.max(...sides.map(([, down]) => down!));
  const mcus = Math.ceil(width / mcuWidth) * Math.ceil(height / mcuHeight);
  const coded: number[] = [];
  let bits = new Bits();
  let levels = factors.map(() => 0);
  for (let mcu = 0; mcu < mcus; mcu++) {
    if (restart > 0 && mcu > 0 && mcu % restart === 0) {
      coded.push(...bits.end(), 0xff, 0xd0 | ((mcu / restart - 1) & 7));
      bits = new Bits();
      levels = factors.map(() => 0);
    }
    for (const [i, [across, down]] of sides.entries())
      for (let block = 0; block < across! * down!; block++) {
        const level = random.integer(129) - 64;
        writeBlock(bits, level - levels[i]!, random);
        levels[i] = level;
      }
  }
  const components = factors.map((factor, i) => [i + 1, factor, 0]);
  return Buffer.from([
    0xff,
    0xd8,
    ...segment(0xdb, 0, ...Array.from({ length: 64 }, (_, k) => 8 + (k >> 2))),
    ...segment(0xc0, 8, height >> 8, height & 255, width >> 8, width & 255, factors.length, ...components.flat()),
    ...segment(0xc4, 0x00, ...sixteen(dcCounts), ...dcSymbols),
    ...segment(0xc4, 0x10, ...sixteen(acCounts), ...acSymbols),
    ...(restart > 0 ? segment(0xdd, restart >> 8, restart & 255) : []),
    ...segment(0xda, factors.length, ...components.flatMap(([id]) => [id!, 0x00]), 0, 63, 0),
    ...coded,
    ...bits.end(),
    0xff,
    0xd9,
  ]);
}

/** A DC difference and none to many coefficients, mostly small ones with short runs of zeros. */
function writeBlock(bits: Bits, difference: number, random: Random): void {
  bits.code(dcCounts, dcSymbols.indexOf(sizeOf(difference)));
  bits.value(difference);
  const last = random.integer(4) === 0 ? 63 : random.integer(random.integer(2) === 0 ? 2 : 30);
  let k = 1;
  while (k <= last) {
    const next = Math.min(last, k + (random.integer(8) === 0 ? random.integer(40) : random.integer(3)));
    for (; next - k > 15; k += 16) bits.code(acCounts, acSymbols.indexOf(0xf0));
    const limit = random.integer(20) === 0 ? 40 : 4;
    const value = (1 + random.integer(limit)) * (random.integer(2) === 0 ? 1 : -1);
    bits.code(acCounts, acSymbols.indexOf(((next - k) << 4) | sizeOf(value)));
    bits.value(value);
    k = next + 1;
  }
  if (k < 64) bits.code(acCounts, acSymbols.indexOf(0));
}

/** Bits that a value takes. */
function sizeOf(value: number): number {
  return value === 0 ? 0 : Math.floor(Math.log2(Math.abs(value))) + 1;
}

class Bits {
  private text = "";

  /** The code of the symbol in this place, of as many codes of each length. */
  code(counts: readonly number[], place: number): void {
    let code = 0;
    let first = 0;
    for (const [i, count] of counts.entries()) {
      if (place < first + count) {
        this.text += (code + place - first).toString(2).padStart(i + 1, "0");
        return;
      }
      code = (code + count) << 1;
      first += count;
    }
    throw new Error(`there is no symbol in place ${place}`);
  }

  value(value: number): void {
    const size = sizeOf(value);
    if (size > 0) this.text += (value > 0 ? value : value + (1 << size) - 1).toString(2).padStart(size, "0");
  }

  /** All bits as bytes, filled up with ones, a zero after bytes of 255. */
  end(): number[] {
    const padded = this.text.padEnd(Math.ceil(this.text.length / 8) * 8, "1");
    return (padded.match(/.{8}/g) ?? []).flatMap((byte) => (byte === "11111111" ? [255, 0] : [parseInt(byte, 2)]));
  }
}

function segment(marker: number, ...content: number[]): number[] {
  return [0xff, marker, (content.length + 2) >> 8, (content.length + 2) & 255, ...content];
}

function sixteen(counts: readonly number[]): number[] {
  return [...counts, ...Array<number>(16 - counts.length).fill(0)];
}
