/** Plain JPEG files decoded by our own kernel: the pixels are sharp's, or the file is left to sharp. */
import sharp, { type JpegOptions } from "sharp";
import { describe, expect, it } from "vitest";
import { decode } from "../../../src/data/formats/decode.ts";
import { decodeBaseline } from "../../../src/data/formats/jpeg.ts";
import { baselineHeader } from "../../../src/data/formats/jpeg-header.ts";
import type { Box } from "../../../src/data/source.ts";
import { fold, key, Random } from "../../../src/tensor/random.ts";
import { jpegFile } from "./jpeg-file.ts";

/** Shapes and noise, whose blocks are empty, nearly empty and full. */
function photo(width: number, height: number, seed = 0) {
  const random = new Random([seed, width * 10_000 + height]);
  const data = new Uint8ClampedArray(3 * width * height);
  for (let i = 0; i < width * height; i++) {
    const [x, y] = [i % width, Math.floor(i / width)];
    const disc = (x - width / 2) ** 2 + (y - height / 3) ** 2 < (width / 4) ** 2;
    const noise = x > width / 2 ? 25 * random.normal() : 0;
    const level = disc ? [250, 20, 60] : [x & 255, (2 * y) & 255, 128];
    data.set(
      level.map((value) => value + noise + (noise && 10 * random.normal())),
      3 * i,
    );
  }
  return sharp(data, { raw: { width, height, channels: 3 } });
}

const jpeg = (width: number, height: number, options: JpegOptions = {}) =>
  photo(width, height).jpeg(options).toBuffer();

/** By libvips. */
async function expected(file: Uint8Array) {
  const { data, info } = await sharp(file, { failOn: "error" })
    .toColourspace("srgb")
    .raw()
    .toBuffer({ resolveWithObject: true });
  expect(info.channels).toBe(3);
  return { width: info.width, height: info.height, data };
}

const hintAt = (box: Box) => ({ region: () => box, memory: (bytes: number) => new Uint8Array(bytes).fill(99) });

/** By our kernel, which must read it. */
function own(file: Uint8Array, part?: Box) {
  const header = baselineHeader(file);
  expect(header).toBeDefined();
  const pixels = decodeBaseline(file, header!, part && hintAt(part));
  expect(pixels).toBeDefined();
  return pixels!;
}

async function expectEqual(file: Uint8Array, message?: string) {
  const [found, wanted] = [own(file), await expected(file)];
  expect([found.width, found.height], message).toEqual([wanted.width, wanted.height]);
  expect(Buffer.compare(found.data, wanted.data), message).toBe(0);
}

const isLeft = (file: Uint8Array) => {
  const header = baselineHeader(file);
  return header === undefined || decodeBaseline(file, header) === undefined;
};

/** Puts a segment behind the first marker. */
function withSegment(file: Buffer, marker: number, content: Buffer): Buffer {
  const head = Buffer.from([0xff, marker, (content.length + 2) >> 8, (content.length + 2) & 255]);
  return Buffer.concat([file.subarray(0, 2), head, content, file.subarray(2)]);
}

/** EXIF data with nothing but an orientation. */
function exif(orientation: number, isLittle: boolean): Buffer {
  const text = isLittle
    ? `Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0${String.fromCharCode(orientation)}\0\0\0\0\0\0\0`
    : `Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0${String.fromCharCode(orientation)}\0\0\0\0\0\0`;
  return Buffer.from(text, "latin1");
}

describe("plain files are decoded to libjpeg's pixels", () => {
  it("of every chroma layout, quality and code table", async () => {
    for (const chromaSubsampling of ["4:2:0", "4:4:4"])
      for (const quality of [1, 30, 75, 90, 100])
        for (const optimiseCoding of [true, false])
          await expectEqual(
            await jpeg(83, 61, { chromaSubsampling, quality, optimiseCoding }),
            `${chromaSubsampling} ${quality} ${optimiseCoding}`,
          );
  });

  it("of every sampling, with and without restart markers, of any size", async () => {
    const random = new Random(key(1));
    for (const factors of [[0x11], [0x22], [0x11, 0x11, 0x11], [0x21, 0x11, 0x11], [0x22, 0x11, 0x11]])
      for (const restart of [0, 1, 3, 7])
        for (let n = 0; n < 4; n++) {
          const [width, height] = [5 + random.integer(90), 1 + random.integer(90)];
          const layout = { width, height, factors, restart, seed: fold(key(2), width, height) };
          await expectEqual(jpegFile(layout), JSON.stringify(layout));
        }
  });

  it("of one row, of five columns, of sizes around a multiple of 16", async () => {
    for (const [width, height] of [
      [5, 1],
      [6, 2],
      [15, 17],
      [16, 16],
      [17, 15],
      [31, 33],
      [250, 3],
    ] as const)
      for (const chromaSubsampling of ["4:2:0", "4:4:4"])
        await expectEqual(await jpeg(width, height, { chromaSubsampling }), `${width} × ${height}`);
  });

  it("of grey files", async () => {
    await expectEqual(await photo(70, 45).toColourspace("b-w").jpeg().toBuffer());
  });

  it("with EXIF data that ask for no turning, and comments", async () => {
    const plain = await jpeg(40, 30);
    const upright = [true, false].map((isLittle) => withSegment(plain, 0xe1, exif(1, isLittle)));
    const software = await photo(40, 30)
      .withExif({ IFD0: { Software: "none" } })
      .jpeg()
      .toBuffer();
    const comment = withSegment(plain, 0xfe, Buffer.from("a comment"));
    for (const file of [...upright, software, comment]) await expectEqual(file);
  });

  it("whatever stands behind the end", async () => {
    await expectEqual(Buffer.concat([await jpeg(40, 30), Buffer.from("more bytes, as some cameras add")]));
  });
});

describe("a part of a file", () => {
  it("has the pixels that the whole has there", async () => {
    const random = new Random(key(3));
    const [width, height] = [133, 119];
    for (const factors of [[0x11], [0x11, 0x11, 0x11], [0x21, 0x11, 0x11], [0x22, 0x11, 0x11]]) {
      const file = jpegFile({ width, height, factors, restart: 5, seed: key(4) });
      const whole = own(file);
      for (let n = 0; n < 60; n++) {
        const [left, top] = [random.integer(width), random.integer(height)];
        const box = { left, top, width: 1 + random.integer(width - left), height: 1 + random.integer(height - top) };
        const part = own(file, box);
        expect([part.width, part.height, part.data.length]).toEqual([width, height, whole.data.length]);
        for (let y = top; y < top + box.height; y++) {
          const [from, to] = [3 * (y * width + left), 3 * (y * width + left + box.width)];
          expect(Buffer.compare(part.data.subarray(from, to), whole.data.subarray(from, to))).toBe(0);
        }
      }
    }
  });

  it("is refused where the whole is", () => {
    const file = jpegFile({ width: 64, height: 64, factors: [0x22, 0x11, 0x11], restart: 2, seed: key(5) });
    const box = { left: 0, top: 0, width: 8, height: 8 };
    const header = baselineHeader(file)!;
    expect(decodeBaseline(file, header, hintAt(box))).toBeDefined();
    for (const length of [file.length - 1, file.length - 2, Math.floor(file.length * 0.7)])
      expect(decodeBaseline(file.subarray(0, length), header, hintAt(box))).toBeUndefined();
  });
});

// With coefficients that no encoder writes, libjpeg calculates differently on other processors.
const isX64 = process.arch === "x64";

it.runIf(isX64)("a part above damage is what sharp shows of the file", async () => {
  const random = new Random(key(10));
  const [width, height] = [64, 96];
  const whole = jpegFile({ width, height, factors: [0x22, 0x11, 0x11], restart: 3, seed: key(11) });
  const { scan } = baselineHeader(whole)!;
  let seen = 0;
  for (let n = 0; n < 200; n++) {
    const file = Buffer.from(whole);
    file[scan + Math.floor((whole.length - scan - 2) * random.uniform(0.3, 1))] = random.integer(256);
    if (!isLeft(file)) continue;
    const part = decodeBaseline(file, baselineHeader(file)!, hintAt({ left: 0, top: 0, width, height: 20 }));
    if (part === undefined) continue;
    seen++;
    const rows = width * 20 * 3;
    expect(Buffer.compare(part.data.subarray(0, rows), (await expected(file)).data.subarray(0, rows))).toBe(0);
  }
  expect(seen).toBeGreaterThan(20);
});

describe("other files are left to sharp", () => {
  it("with the same pixels as ever", async () => {
    const plain = await jpeg(60, 45);
    const random = { width: 60, height: 45, seed: key(6) };
    const files = {
      progressive: await jpeg(60, 45, { progressive: true }),
      "colour profile": await photo(60, 45).withIccProfile("p3").jpeg().toBuffer(),
      "chroma halved downwards": jpegFile({ ...random, factors: [0x12, 0x11, 0x11] }),
      "chroma quartered": jpegFile({ ...random, factors: [0x41, 0x11, 0x11] }),
      "two components": jpegFile({ ...random, factors: [0x11, 0x11] }),
      "RGB in it": withSegment(
        jpegFile({ ...random, factors: [0x11, 0x11, 0x11] }),
        0xee,
        Buffer.from("Adobe\0\x64\0\0\0\0\0", "latin1"),
      ),
      narrow: await jpeg(4, 45),
      "fill byte": Buffer.concat([plain.subarray(0, -2), Buffer.from([0xff, 0xff, 0xd9])]),
    };
    for (const [name, file] of Object.entries(files)) {
      expect(isLeft(file), name).toBe(true);
      if (name === "two components") continue;
      const wanted = await sharp(file).toColourspace("srgb").raw().toBuffer();
      expect(Buffer.compare((await decode(file)).data, wanted), name).toBe(0);
    }
  });

  it("when EXIF data ask for turning, or are damaged", async () => {
    const plain = await jpeg(60, 45);
    for (let orientation = 1; orientation <= 8; orientation++)
      for (const isLittle of [true, false]) {
        const file = withSegment(plain, 0xe1, exif(orientation, isLittle));
        expect(isLeft(file), `orientation ${orientation}`).toBe(orientation !== 1);
        const wanted = await sharp(file).autoOrient().raw().toBuffer({ resolveWithObject: true });
        expect(wanted.info.width).toBe(orientation < 5 ? 60 : 45);
        const found = await decode(file);
        expect([found.width, found.height]).toEqual([wanted.info.width, wanted.info.height]);
        expect(Buffer.compare(found.data, wanted.data), `orientation ${orientation}`).toBe(0);
      }
    const upright = exif(1, true);
    expect(isLeft(withSegment(plain, 0xe1, upright))).toBe(false);
    for (const [place, value] of [
      [6, 0x58], // not a TIFF
      [11, 0xff], // entries behind the end
      [14, 0xff], // more entries than there is room for
      [18, 0x04], // an orientation of another type
    ] as const) {
      const damaged = Buffer.from(upright);
      damaged[place] = value;
      expect(isLeft(withSegment(plain, 0xe1, damaged)), `place ${place}`).toBe(true);
    }
  });

  it("when they are reduced", async () => {
    const file = await jpeg(200, 150);
    const { data } = await decode(file, { shortSide: 40 });
    const wanted = await sharp(file)
      .resize({ width: 40, height: 40, fit: "outside", withoutEnlargement: true })
      .raw()
      .toBuffer();
    expect(Buffer.compare(data, wanted)).toBe(0);
  });

  it("when they are cut off anywhere", async () => {
    for (const file of [
      await jpeg(32, 24),
      jpegFile({ width: 32, height: 24, factors: [0x21, 0x11, 0x11], restart: 2, seed: key(7) }),
    ])
      for (let length = 2; length < file.length; length++)
        expect(isLeft(file.subarray(0, length)), `${length} of ${file.length} bytes`).toBe(true);
  });

  it.runIf(isX64)("when bytes are changed, unless sharp sees the same in them", async () => {
    const random = new Random(key(8));
    const restart = jpegFile({ width: 48, height: 40, factors: [0x22, 0x11, 0x11], restart: 3, seed: key(9) });
    let read = 0;
    for (const whole of [await jpeg(48, 40), await jpeg(48, 40, { chromaSubsampling: "4:4:4" }), restart])
      for (let n = 0; n < 300; n++) {
        const file = Buffer.from(whole);
        for (let change = random.integer(3); change >= 0; change--)
          file[2 + random.integer(file.length - 2)] = random.integer(256);
        if (isLeft(file)) continue;
        read++;
        await expectEqual(file, `change ${n} in ${whole.length} bytes`);
      }
    expect(read).toBeGreaterThan(20);
  });
});
