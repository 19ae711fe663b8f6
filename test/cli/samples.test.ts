/** Images of more than 8 bits and with spare bands, as a person meets them at the command line. */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { sampleNotes } from "../../src/cli/samples.ts";
import { folder } from "../../src/data/sources/folder.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { inRange, rangeOf } from "../../src/data/sources/range.ts";
import { readWeights, writeWeights } from "../../src/run/checkpoint.ts";
import { importWeights } from "../../src/interop/import.ts";
import { exportEncoder } from "../../src/interop/export/export.ts";
import { embedImages } from "../../src/interop/embed.ts";
import { loadEncoder } from "../../src/evaluators/encoder.ts";
import { tiff, type TiffOptions } from "../data/formats/tiff-file.ts";
import { unpack } from "../interop/fixtures.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { layergraft } from "./layergraft.ts";

/** A folder of `count` pictures of 16 × 16 whose samples are multiplied. */
function pictures(count: number, factor: number, options: TiffOptions): string {
  const dir = join(temporaryFolder(), "images");
  mkdirSync(dir);
  const { bits = 8, bands = 1 } = options;
  for (let n = 0; n < count; n++) {
    const values = Array.from({ length: 256 * bands }, (_, i) => ((i * (n + 3)) % 251) * factor);
    const data = bits === 16 ? new Uint8Array(Uint16Array.from(values).buffer) : Uint8Array.from(values);
    writeFileSync(join(dir, `${n}.tif`), tiff(data, { rows: 16, ...options }));
  }
  return dir;
}

const notesOn = async (path: string, range?: [number, number], asked = range !== undefined) =>
  sampleNotes(await openSource({ kind: "folder", path, ...(range === undefined ? {} : { range }) }), range, asked);

describe("before anything is trained it is said", () => {
  it("that 12 bits in 16 come out nearly black, and what to do", async () => {
    const path = pictures(5, 16, { bits: 16 });
    expect(await notesOn(path)).toEqual([
      "5 of 5 images looked at have more than 8 bits, and the brightest value found in them is 15 of 255, nearly black: " +
        "if their white is 4095 (12 bits in 16), say --range 0,4095; pretrain, evaluate and embed take it, and a run keeps it",
    ]);
    expect(await notesOn(path, [0, 4095])).toEqual([]);
    expect((await notesOn(path, [0, 65_535]))[0]).toContain("--range 0,65535 is wider than they need");
    expect(await notesOn(pictures(2, 257, { bits: 16 }))).toEqual([]);
  });

  it("that bands and pages are left out, and that a range has no use", async () => {
    expect(await notesOn(pictures(20, 1, { bands: 4, photometric: 2, extra: [0] }))).toEqual([
      "16 of 16 images looked at have a band beside their colours that they do not declare as transparency, such as near infrared: left out",
    ]);
    expect(await notesOn(pictures(1, 1, { pages: 7 }))).toEqual([
      "1 of 1 images looked at have up to 7 pages: the first of each is the image",
    ]);
    const plain = pictures(6, 1, {});
    expect(await notesOn(plain)).toEqual([]);
    expect(await notesOn(plain, [0, 4095])).toEqual([
      "--range is for images of more than 8 bits a channel, which none of 4 looked at has",
    ]);
    expect(await notesOn(plain, [0, 4095], false)).toEqual([]);
  });
});

it("a checkpoint that knows its range reads later images with it, unless another is said", async () => {
  const dir = temporaryFolder();
  const [plain, ranged] = [join(dir, "plain.safetensors"), join(dir, "ranged.safetensors")];
  await importWeights(unpack(dir, "timm.pth"), { heads: 2, out: plain });
  const { tensors, metadata } = readWeights(plain);
  writeWeights(ranged, tensors, { ...metadata, range: "[0,4080]" });
  const deep = { kind: "folder", path: pictures(3, 16, { bits: 16 }) } as const;
  const eight = { kind: "folder", path: pictures(3, 1, {}) } as const;
  const rows = async (checkpoint: string, images: Parameters<typeof embedImages>[1]) => {
    const out = join(temporaryFolder(), "f.npy");
    await embedImages(checkpoint, images, out, { threads: 1 });
    const bytes = readFileSync(out);
    return [...new Float32Array(new Uint8Array(bytes.subarray(10 + bytes.readUInt16LE(8))).buffer)];
  };
  const wanted = await rows(plain, eight);
  expect(await rows(ranged, deep)).toEqual(wanted);
  expect(await rows(ranged, { ...deep, range: [0, 65_535] })).not.toEqual(wanted);
  expect(await rows(plain, { ...deep, range: [0, 4080] })).toEqual(wanted);
  const encoder = await loadEncoder(ranged, { threads: 1 });
  const { rows: embedded } = await encoder.embed([join(deep.path, "0.tif")]);
  await encoder.release();
  expect([...embedded]).toEqual(wanted.slice(0, embedded.length));

  // and so does what is made of it
  const copy = join(dir, "copy.safetensors");
  await importWeights(ranged, { out: copy });
  expect(readWeights(copy).metadata["range"]).toBe("[0,4080]");
  const exported = join(dir, "exported.safetensors");
  await exportEncoder(ranged, { to: "safetensors", out: exported });
  expect(readWeights(exported).metadata["range"]).toBe("[0,4080]");

  const out = join(dir, "f.npy");
  const { code, stdout } = await layergraft(["embed", ranged, deep.path, "--out", out, "--threads", "1"]);
  expect([code, stdout]).toEqual([0, expect.not.stringContaining("nearly black")]);
  const wrong = await layergraft(["embed", plain, deep.path, "--out", out, "--range", "5,1"]);
  expect([wrong.code, wrong.stderr]).toEqual([
    2,
    expect.stringContaining("expected two numbers, the first below the second, such as 0,4095."),
  ]);
});

it("a range stays with the images wherever they lie, and only where it has a meaning", () => {
  const images = { kind: "folder", path: "x" } as const;
  expect(rangeOf(inRange(images, [0, 1]))).toEqual([0, 1]);
  expect(rangeOf(inRange({ ...images, range: [0, 2] }, [0, 1]))).toEqual([0, 2]);
  expect(inRange(images, undefined)).toBe(images);
  const emoji = { kind: "emoji" } as const;
  expect(inRange(emoji, [0, 1])).toBe(emoji);
  expect(folder.schema.safeParse({ ...images, range: [2, 1] }).success).toBe(false);
});
