/** Damaged TIFF and JPEG headers: something is known, nothing is, or one sentence says what. `LAYERGRAFT_FUZZ` tries more. */
import sharp from "sharp";
import { expect, it } from "vitest";
import { unreadJpeg } from "../../../src/data/formats/jpeg-header.ts";
import { bandsOf, tiffHeader, unreadTiff } from "../../../src/data/formats/tiff-header.ts";
import { fuzz, fuzzCount } from "../../fuzz.ts";
import { tiff } from "./tiff-file.ts";

it("damaged headers", async () => {
  const bands = { bands: 5, photometric: 2, extra: [0, 2] };
  const originals = [tiff(new Uint8Array(10), bands), tiff(new Uint8Array(4), { pages: 9 })];
  const read = async (bytes: Buffer) => {
    const header = tiffHeader(bytes);
    if (header === undefined) return;
    unreadTiff(header);
    const { colours, spare } = bandsOf(header);
    expect(colours + spare).toBeGreaterThan(0);
  };
  const outcome = await fuzz({ name: "tiff", originals, count: fuzzCount(5_000), read });
  expect(outcome.values).toBeGreaterThan(0);
  expect(outcome.errors.length).toBeGreaterThan(1);

  const image = sharp({ create: { width: 9, height: 9, channels: 3, background: "#123456" } });
  const jpeg = await image.jpeg().toBuffer();
  const sentences = await fuzz({
    name: "jpeg",
    originals: [jpeg],
    count: fuzzCount(5_000),
    read: async (bytes) => unreadJpeg(bytes),
  });
  expect(sentences.errors).toEqual([]);
});
