/** Image files as people have them. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { crc32, deflateSync } from "node:zlib";
import sharp, { type Sharp } from "sharp";
import { describe, expect, it } from "vitest";
import { decode, readImage } from "../../../src/data/formats/decode.ts";
import { tiff } from "./tiff-file.ts";

const flat = (background: string, width = 6, height = 4) =>
  sharp({ create: { width, height, channels: 3, background } });

/** An image of 8 or 16 bits a sample, given by its samples. */
const made = (samples: Uint8Array | Uint16Array, width: number, height: number, channels: 1 | 2 | 3 | 4) =>
  sharp(samples, { raw: { width, height, channels } });

/** Noise, whose files are long enough to be cut. */
const noise = () =>
  sharp({
    create: {
      width: 64,
      height: 64,
      channels: 3,
      background: "#808080",
      noise: { type: "gaussian", mean: 128, sigma: 30 },
    },
  });

/** The RGB values of all pixels. */
async function colours(image: Sharp | Buffer): Promise<number[][]> {
  const { width, height, data } = await decode(Buffer.isBuffer(image) ? image : await image.toBuffer());
  expect(data.length).toBe(width * height * 3);
  return Array.from({ length: width * height }, (_, i) => [...data.subarray(i * 3, i * 3 + 3)]);
}

/** The colour of an image that has only one. */
async function colour(image: Sharp | Buffer): Promise<number[]> {
  const [first, ...others] = await colours(image);
  for (const other of others) expect(other).toEqual(first);
  return first!;
}

/** A PNG of `width` × `height` pixels from its rows, each a filter byte and then the samples. */
function png(width: number, height: number, depth: number, type: number, rows: Uint8Array, ...extra: Buffer[]): Buffer {
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head.set([depth, type], 8);
  const signature = Buffer.from("\x89PNG\r\n\x1a\n", "latin1");
  return Buffer.concat([signature, chunk("IHDR", head), ...extra, chunk("IDAT", deflateSync(rows)), chunk("IEND")]);
}

function chunk(name: string, data = Buffer.alloc(0)): Buffer {
  const part = Buffer.concat([Buffer.alloc(4), Buffer.from(name), data, Buffer.alloc(4)]);
  part.writeUInt32BE(data.length, 0);
  part.writeUInt32BE(crc32(part.subarray(4, -4)), part.length - 4);
  return part;
}

/** A grey TIFF of one row. `sampleFormat`: 1 unsigned, 2 signed, 3 float. */
const greyTiff = (bits: number, sampleFormat: number, data: Uint8Array) => tiff(data, { bits, sampleFormat });

/** The JPEG without its APP14 segment, where Adobe says that CMYK is stored inverted. */
function withoutAdobe(jpeg: Buffer): Buffer {
  const at = jpeg.indexOf("\xff\xee", "latin1");
  return Buffer.concat([jpeg.subarray(0, at), jpeg.subarray(at + 2 + jpeg.readUInt16BE(at + 2))]);
}

describe("colours", () => {
  it("repeat grey", async () => {
    expect(await colour(flat("#808080").toColourspace("b-w").png())).toEqual([128, 128, 128]);
    expect(await colour(flat("#808080").toColourspace("b-w").jpeg())).toEqual([128, 128, 128]);
  });

  it("put transparency on white", async () => {
    const greyAlpha = await colours(made(Uint8Array.of(100, 0, 100, 255), 2, 1, 2).png());
    expect(greyAlpha).toEqual([
      [255, 255, 255],
      [100, 100, 100],
    ]);
    const rgba = await colours(made(Uint8Array.of(255, 0, 0, 51, 0, 0, 0, 0), 2, 1, 4).png());
    expect(rgba).toEqual([
      [255, 204, 204],
      [255, 255, 255],
    ]);
    const keyed = png(2, 1, 8, 2, Uint8Array.of(0, 1, 2, 3, 4, 5, 6), chunk("tRNS", Buffer.from([0, 1, 0, 2, 0, 3])));
    expect(await colours(keyed)).toEqual([
      [255, 255, 255],
      [4, 5, 6],
    ]);
  });

  it("scale 16 bits to 8", async () => {
    const rgb = made(Uint16Array.of(0x4080, 0x8000, 0xffff), 1, 1, 3).toColourspace("rgb16");
    expect(await colour(rgb.clone().png())).toEqual([64, 128, 255]);
    expect(await colour(rgb.clone().tiff({ compression: "none" }))).toEqual([64, 128, 255]);
    const grey = made(Uint16Array.of(0x8080, 0x8080), 2, 1, 1).toColourspace("grey16");
    expect(await colour(grey.clone().png())).toEqual([128, 128, 128]);
    expect(await colour(grey.clone().tiff({ compression: "none" }))).toEqual([128, 128, 128]);
    const halfClear = made(Uint16Array.of(0, 0x8080), 1, 1, 2).toColourspace("grey16").png();
    expect(await colour(halfClear)).toEqual([127, 127, 127]);
  });

  it("spread 1, 2 and 4 bits", async () => {
    expect(await colours(png(2, 1, 1, 0, Uint8Array.of(0, 0b0100_0000)))).toEqual([
      [0, 0, 0],
      [255, 255, 255],
    ]);
    expect(await colour(png(2, 1, 2, 0, Uint8Array.of(0, 0b0101_0000)))).toEqual([85, 85, 85]);
    expect(await colour(png(2, 1, 4, 0, Uint8Array.of(0, 0x88)))).toEqual([136, 136, 136]);
  });

  it("look up a palette, which may be transparent in parts", async () => {
    const palette = chunk("PLTE", Buffer.from([10, 20, 30, 40, 50, 60]));
    const file = png(2, 1, 1, 3, Uint8Array.of(0, 0b0100_0000), palette, chunk("tRNS", Buffer.from([0])));
    expect(await colours(file)).toEqual([
      [255, 255, 255],
      [40, 50, 60],
    ]);
    expect(await colour(flat("#00ff00").gif())).toEqual([0, 255, 0]);
  });

  it("convert CMYK, which JPEG holds inverted whether or not it says so, through a profile where there is one", async () => {
    const near = async (image: Sharp | Buffer, expected: number[]) => {
      const found = await colour(image);
      expect(Math.max(...found.map((value, i) => Math.abs(value - expected[i]!)))).toBeLessThan(45);
    };
    for (const [name, rgb] of [
      ["#ffffff", [255, 255, 255]],
      ["#000000", [0, 0, 0]],
      ["#ff0000", [255, 0, 0]],
    ] as const) {
      const cmyk = flat(name, 16, 16).toColourspace("cmyk");
      const adobe = await cmyk.clone().jpeg({ quality: 100 }).toBuffer();
      await near(adobe, [...rgb]);
      expect(await colour(withoutAdobe(adobe))).toEqual(await colour(adobe));
      await near(cmyk.clone().withIccProfile("cmyk").jpeg({ quality: 100 }), [...rgb]);
      await near(cmyk.clone().tiff(), [...rgb]);
    }
  });

  it("convert a wide gamut to sRGB", async () => {
    const wide = await flat("#d08040").withIccProfile("p3").png().toBuffer();
    const { data } = await sharp(wide, { ignoreIcc: true }).raw().toBuffer({ resolveWithObject: true });
    expect(data[0]).toBeLessThan(203); // what the file holds
    expect((await colour(wide)).map((value, i) => Math.abs(value - [0xd0, 0x80, 0x40][i]!) <= 1)).toEqual([
      true,
      true,
      true,
    ]);
  });
});

describe("layouts", () => {
  it("turn and mirror as EXIF says, before the image is reduced", async () => {
    const [r, g, b, w] = [
      [255, 0, 0],
      [0, 255, 0],
      [0, 0, 255],
      [255, 255, 255],
    ];
    // Stored as r g b above w w w; what each orientation shows, row after row.
    const stored = made(Uint8Array.from([r, g, b, w, w, w].flat()), 3, 2, 3);
    const shown = [
      [r, g, b, w, w, w],
      [b, g, r, w, w, w],
      [w, w, w, b, g, r],
      [w, w, w, r, g, b],
      [r, w, g, w, b, w],
      [w, r, w, g, w, b],
      [w, b, w, g, w, r],
      [b, w, g, w, r, w],
    ];
    for (const [i, expected] of shown.entries()) {
      const file = stored.clone().withMetadata({ orientation: i + 1 });
      expect(await colours(file.clone().png()), `orientation ${i + 1}`).toEqual(expected);
      const jpeg = await flat("#336699", 60, 40)
        .withMetadata({ orientation: i + 1 })
        .jpeg()
        .toBuffer();
      const { width, height } = await decode(jpeg, { shortSide: 20 });
      expect([width, height], `orientation ${i + 1}`).toEqual(i < 4 ? [30, 20] : [20, 30]);
    }
  });

  it("read progressive and interlaced files as others", async () => {
    const image = await noise().png().toBuffer();
    const png = (progressive: boolean) => colours(sharp(image).png({ progressive }));
    expect(await png(true)).toEqual(await png(false));
    const jpeg = (progressive: boolean) => colours(sharp(image).jpeg({ progressive }));
    expect(await jpeg(true)).toEqual(await jpeg(false));
  });

  it("take the first frame of an animation", async () => {
    const frames = await Promise.all([flat("#ff0000"), flat("#0000ff")].map((frame) => frame.png().toBuffer()));
    const animation = sharp(frames, { join: { animated: true } });
    for (const file of [animation.clone().gif(), animation.clone().webp({ lossless: true })]) {
      expect((await decode(await file.toBuffer())).height).toBe(4);
      expect(await colour(file)).toEqual([255, 0, 0]);
    }
  });

  it("read any size, and reduce what is larger than asked for", async () => {
    expect(await colours(flat("#102030", 1, 1).png())).toEqual([[16, 32, 48]]);
    const thin = await flat("#102030", 1, 5000).png().toBuffer();
    const sizeOf = async (file: Buffer, shortSide?: number) => {
      const { width, height } = await decode(file, { shortSide });
      return [width, height];
    };
    expect(await sizeOf(thin)).toEqual([1, 5000]);
    expect(await sizeOf(thin, 32)).toEqual([1, 5000]);
    const large = await flat("#336699", 300, 200).jpeg().toBuffer();
    expect(await sizeOf(large, 50)).toEqual([75, 50]);
    expect(await sizeOf(large, 500)).toEqual([300, 200]);
  });

  it("go by the bytes of a file, not by its name", async () => {
    const folder = await mkdtemp(join(tmpdir(), "layergraft-decode-"));
    try {
      const path = join(folder, "photo.jpg");
      await flat("#102030").png().toFile(join(folder, "photo.png"));
      await writeFile(path, await flat("#102030").webp({ lossless: true }).toBuffer());
      for (const name of ["photo.jpg", "photo.png"]) {
        const { data } = await readImage(join(folder, name), name);
        expect([...data.subarray(0, 3)]).toEqual([16, 32, 48]);
      }
    } finally {
      await rm(folder, { recursive: true });
    }
    expect(await colour(flat("#ff0000").avif({ lossless: true }))).toEqual([255, 0, 0]);
  });
});

describe("files that are not read", () => {
  const refused = (bytes: Buffer) => expect(readImage(Promise.resolve(bytes), "a/b.jpg")).rejects;
  const text = (content: string) => Buffer.from(content, "latin1");

  it("are named with the reason", async () => {
    await refused(Buffer.alloc(0)).toThrow("cannot read image a/b.jpg: the file is empty");
    await refused(text("not a picture")).toThrow(
      "cannot read image a/b.jpg: it does not begin like a JPEG, PNG, WebP, GIF, TIFF or AVIF file",
    );
    await expect(readImage("/nowhere/b.jpg", "b.jpg")).rejects.toThrow("cannot read image b.jpg: ENOENT");
  });

  it("are other formats, even those that could be drawn", async () => {
    const svg = '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>';
    for (const [format, bytes] of [
      ["SVG", text(svg)],
      ["SVG", text(`\xef\xbb\xbf<?xml version="1.0"?>\n<!-- drawn -->\n${svg}`)],
      ["HTML", text("\n<!DOCTYPE html><title>404</title>")],
      ["PDF", text("%PDF-1.7\n")],
      ["BMP", text(`BM${"\0".repeat(60)}`)],
      ["HEIC", text("\0\0\0\x18ftypheic\0\0\0\0mif1heic")],
      ["HEIC", text("\0\0\0\x18ftypmif1\0\0\0\0mif1heic")],
      ["video", text("\0\0\0\x18ftypisom\0\0\0\0isommp42")],
      ["JPEG XL", text("\xff\x0a\0\0\0\0")],
      ["JPEG XL", text("\0\0\0\x0cJXL \r\n\x87\n")],
      ["JPEG 2000", text("\0\0\0\x0cjP  \r\n\x87\n")],
      ["Photoshop", text("8BPS\0\x01")],
    ] as const)
      await refused(bytes).toThrow(`it is a ${format} file, whatever it is called: convert it to JPEG, PNG`);
    await refused(text("version https://git-lfs.github.com/spec/v1\n")).toThrow("run git lfs pull");
  });

  it("are truncated or damaged", async () => {
    for (const [format, image] of [
      ["JPEG", noise().jpeg()],
      ["JPEG", noise().jpeg({ progressive: true })],
      ["PNG", noise().png()],
      ["GIF", noise().gif()],
      ["WebP", noise().webp()],
      ["TIFF", noise().tiff({ compression: "lzw" })],
      ["AVIF", noise().avif()],
    ] as const) {
      const whole = await image.toBuffer();
      for (const share of [0.02, 0.6])
        await refused(whole.subarray(0, Math.ceil(whole.length * share + 16))).toThrow(
          new RegExp(`^cannot read image a/b\\.jpg: the ${format} file is truncated or damaged \\(.+\\)$`),
        );
    }
    const damaged = await noise().png().toBuffer();
    damaged[damaged.length >> 1]! ^= 0xff;
    await refused(damaged).toThrow("the PNG file is truncated or damaged");
  });

  it("claim too many pixels", async () => {
    await refused(png(30_000, 30_000, 1, 0, new Uint8Array(1000))).toThrow("it has more than 268 million pixels");
  });

  it("hold samples without a known white", async () => {
    expect(await colour(greyTiff(16, 1, Uint8Array.of(0x80, 0x80)))).toEqual([128, 128, 128]);
    const float = Buffer.from(Float32Array.of(0.5, 1).buffer);
    await refused(greyTiff(32, 3, float)).toThrow(
      "its samples are of type float, of which nothing says what is black and what white: say so with --range LOW,HIGH, or convert it",
    );
    await refused(greyTiff(32, 1, float)).toThrow("its samples are of type uint");
    await refused(greyTiff(16, 2, float)).toThrow("its samples are of type short");
  });
});

describe("bands of a TIFF", () => {
  const pixels = Uint8Array.of(200, 100, 50, 0, 40, 80, 120, 51); // two pixels of four bands
  const shown = async (file: Buffer) => ({ colours: await colours(file), samples: (await decode(file)).samples });
  const rgb = { bands: 4, photometric: 2 };
  const stored = [
    [200, 100, 50],
    [40, 80, 120],
  ];
  const spare = (count: number) => ({ bits: 8, spare: count, pages: 1 });

  it("are transparency where it is declared, and else are left out", async () => {
    const overWhite = [
      [255, 255, 255],
      [212, 220, 228],
    ];
    expect(await shown(tiff(pixels, { ...rgb, extra: [2] }))).toEqual({ colours: overWhite, samples: undefined });
    expect(await shown(tiff(pixels, { ...rgb, extra: [0] }))).toEqual({ colours: stored, samples: spare(1) });
    expect(await shown(tiff(pixels, rgb))).toEqual({ colours: stored, samples: spare(1) });
    const five = Uint8Array.of(200, 100, 50, 9, 0, 40, 80, 120, 9, 51);
    const spot = { bands: 5, photometric: 2 };
    expect(await shown(tiff(five, { ...spot, extra: [0, 2] }))).toEqual({ colours: overWhite, samples: spare(1) });
    expect(await shown(tiff(five, { ...spot, extra: [0, 0] }))).toEqual({ colours: stored, samples: spare(2) });
    const grey = Uint8Array.of(200, 0, 40, 255);
    expect(await colours(tiff(grey, { bands: 2, extra: [0] }))).toEqual([
      [200, 200, 200],
      [40, 40, 40],
    ]);
    expect(await colours(tiff(grey, { bands: 2, extra: [2] }))).toEqual([
      [255, 255, 255],
      [40, 40, 40],
    ]);
  });

  it("of 16 bits too, and while an image is reduced", async () => {
    const wide = new Uint8Array(Uint16Array.from(pixels, (value) => value * 257).buffer);
    expect(await shown(tiff(wide, { ...rgb, bits: 16, extra: [0] }))).toEqual({
      colours: stored,
      samples: { bits: 16, spare: 1, pages: 1 },
    });
    const clear = Uint8Array.from({ length: 64 * 4 }, (_, i) => [200, 100, 50, 0][i % 4]!);
    const { width, height, data } = await decode(tiff(clear, { ...rgb, rows: 8, extra: [0] }), { shortSide: 4 });
    expect([width, height, ...data.subarray(0, 3)]).toEqual([4, 4, 200, 100, 50]);
  });

  it("that are no image are counted, in a sentence that says what to do", async () => {
    const refused = (file: Buffer) => expect(decode(file)).rejects;
    await refused(tiff(new Uint8Array(26), { bands: 13, extra: Array<number>(12).fill(0) })).toThrow(
      "it has 13 channels, and does not say which of them are red, green and blue: make an RGB image of three of them",
    );
    await refused(tiff(pixels, { photometric: 32803 })).toThrow("it holds what a camera's sensor saw, not an image");
    await refused(tiff(pixels.subarray(0, 6), { bands: 3, photometric: 6 })).toThrow("YCbCr without JPEG");
    await refused(tiff(pixels, { photometric: 77 })).toThrow("(photometric interpretation 77): convert it to RGB");
  });

  it("of several pages: the first, and the number is known", async () => {
    const first = tiff(Uint8Array.of(1, 2), {});
    expect((await decode(first)).samples).toBeUndefined();
    const { data, samples } = await decode(tiff(Uint8Array.of(1, 2), { pages: 3 }));
    expect([...data.subarray(0, 3), samples]).toEqual([1, 1, 1, { bits: 8, spare: 0, pages: 3 }]);
  });
});

describe("a range of values", () => {
  const grey = async (file: Buffer, range?: readonly [number, number]) => {
    const { data } = await decode(file, { range });
    return Array.from({ length: data.length / 3 }, (_, i) => data[3 * i]);
  };
  const sixteen = (...values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);

  it("spreads what has more than 8 bits, whatever the format", async () => {
    const file = tiff(sixteen(0, 1024, 2048, 4095, 9000), { bits: 16 });
    expect(await grey(file)).toEqual([0, 4, 8, 15, 35]);
    expect(await grey(file, [0, 4095])).toEqual([0, 64, 128, 255, 255]);
    expect(await grey(file, [1024, 2048])).toEqual([0, 0, 255, 255, 255]);
    const rows = Buffer.from([0, 0, 0, 0x04, 0, 0x0f, 0xff]);
    expect(await grey(png(3, 1, 16, 0, rows), [0, 4095])).toEqual([0, 64, 255]);
    expect(await grey(png(3, 1, 8, 0, Uint8Array.of(0, 1, 2, 255)), [0, 4095])).toEqual([1, 2, 255]);
  });

  it("makes samples readable of which nothing says what is white", async () => {
    const bytes = (values: Float32Array | Int16Array | Int32Array) => new Uint8Array(values.buffer);
    const floats = tiff(bytes(Float32Array.of(-1, 0, 0.5, 1, NaN)), { bits: 32, sampleFormat: 3 });
    expect((await grey(floats, [0, 1])).slice(0, 4)).toEqual([0, 0, 127, 255]);
    const signed = tiff(bytes(Int16Array.of(-1000, 0, 1000)), { bits: 16, sampleFormat: 2 });
    expect(await grey(signed, [-1000, 1000])).toEqual([0, 127, 255]);
    await expect(decode(signed)).rejects.toThrow("its samples are of type short");
  });
});

describe("whole files of kinds that are not read are not called damaged", () => {
  const refused = (bytes: Buffer) => expect(readImage(Promise.resolve(bytes), "a.x")).rejects;

  it("TIFF by its compression, its bits and its colours", async () => {
    const pixels = new Uint8Array(64);
    for (const [compression, name] of [
      [50000, "Zstandard"],
      [34887, "LERC"],
      [34925, "LZMA"],
      [33005, "JPEG 2000"],
      [12345, "number 12345"],
    ] as const)
      await refused(tiff(pixels, { compression })).toThrow(
        `cannot read image a.x: it is compressed in a way that is not read (${name}): save it with LZW, Deflate or no compression`,
      );
    await refused(tiff(pixels, { bits: 12 })).toThrow("it has 12 bits a sample: convert it to 8 or 16");
  });

  it("JPEG by its precision, its process and its channels", async () => {
    const whole = await noise().jpeg().toBuffer();
    const frame = whole.indexOf("\xff\xc0", "latin1");
    const changed = (offset: number, value: number) => {
      const bytes = Buffer.from(whole);
      bytes[frame + offset] = value;
      return bytes;
    };
    await refused(changed(4, 12)).toThrow("it has 12 bits a sample, and JPEG of 8 is read: convert it to PNG");
    await refused(changed(1, 0xc3)).toThrow("it is a lossless JPEG, which is not read");
    await refused(changed(9, 2)).toThrow("its 2 channels are neither grey nor RGB nor CMYK");
  });
});
