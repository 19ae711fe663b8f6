import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { readFooter, readPage } from "../../../src/data/formats/parquet-file.ts";
import { inMemory } from "../../../src/data/formats/positioned.ts";
import type { Source } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { endOfStruct } from "../../../src/data/formats/thrift.ts";
import { fuzz, fuzzCount } from "../../fuzz.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { image, parquetFile, parquetOf, writeFolder } from "./shards.ts";

const fixtures = fileURLToPath(new URL("../../../../test/fixtures/data/", import.meta.url));
const kinds = ["snappy", "zstd", "gzip", "brotli", "lz4"];

const factsOf = ({ length, id, label }: Source) => Array.from({ length }, (_, i) => [id(i), label(i)]);

/** Opens a file of these bytes. */
function open(bytes: Uint8Array, more: object = {}) {
  const path = join(temporaryFolder(), "x.parquet");
  writeFileSync(path, bytes);
  return openSource({ kind: "parquet", path, ...more });
}

const pngs = await Promise.all(Array.from({ length: 10 }, (_, i) => image(i)));
const rows = pngs.map((bytes, i) => ({ bytes, path: `${i}.png`, label: i % 2 }));

describe("Parquet files", () => {
  it.each(kinds)("are read as pyarrow writes them (%s)", async (kind) => {
    const source = await openSource({ kind: "parquet", path: join(fixtures, `${kind}.parquet`) });
    expect(source.classes).toEqual(["cat", "dog", "owl"]);
    expect(factsOf(source)).toEqual([
      ["row 0", 0],
      ["1.png", 1],
      ["row 2", 2],
      ["3.png", 0],
      ["row 4", 1],
      ["5.png", 2],
      ["row 6", 0],
      ["7.png", -1],
    ]);
    for (const i of [7, 0, 3]) {
      const { width, height, data } = await source.load(i);
      expect([width, height]).toEqual([4, 3]);
      expect([...data]).toEqual(
        Array.from({ length: 36 }, (_, at) => [20 * i + Math.floor(at / 3), 100, 200][at % 3]!),
      );
    }
    await expect(source.load(2)).rejects.toThrow(/^cannot read image row 2: its row has no image$/);
  });

  it("have blocks of images that are read together", async () => {
    const source = await open(parquetOf(rows, { rows: 4 }));
    expect(Array.from(source.blocks!)).toEqual([0, 4, 8]);
    const pages = await open(parquetOf(rows, { rows: 10, pageSize: 3 * pngs[0]!.length }));
    expect(pages.blocks!.length).toBeGreaterThan(2);
    for (const i of [9, 0, 5]) expect((await pages.load(i)).data[0]).toBe(10 * i);
  });

  it("say in their names which split they are", async () => {
    const part = parquetOf(rows, { classes: ["cat", "dog"] });
    for (const names of [
      ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/test-00000-of-00001.parquet"],
      ["train/0000.parquet", "train/0001.parquet", "test/0000.parquet"],
    ]) {
      const dir = writeFolder(temporaryFolder(), Object.fromEntries(names.map((name) => [name, part])));
      const test = await openSource({ kind: "parquet", path: dir, split: "test" });
      expect([test.length, test.id(3), test.label(3), Array.from(test.blocks!)]).toEqual([
        10,
        `${names[2]!.replace("data/", "")}/3.png`,
        1,
        [0, 4, 8],
      ]);
      expect((await test.load(3)).data[0]).toBe(30);
      expect((await openSource({ kind: "parquet", path: dir, split: "train" })).length).toBe(20);
    }
    await expect(open(part, { split: "test" })).rejects.toThrow(
      "has no splits; they would be files whose names begin with train and test (or val)",
    );
  });

  it("may have other columns, as plain bytes and text", async () => {
    const bytes = parquetFile([
      { name: "picture", data: pngs.slice(0, 4), type: "BYTE_ARRAY" },
      { name: "kind", data: ["owl", null, "bat", "owl"], type: "STRING", encoding: "RLE_DICTIONARY" },
      { name: "number", data: Int32Array.from([10, 9, 10, 9]), type: "INT32" },
      { name: "weight", data: [0.5, 1, 2, 3], type: "DOUBLE" },
    ]);
    const source = await open(bytes, { image: "picture", label: "kind" });
    expect(source.classes).toEqual(["bat", "owl"]);
    expect(factsOf(source)).toEqual([
      ["row 0", 1],
      ["row 1", -1],
      ["row 2", 0],
      ["row 3", 1],
    ]);
    expect((await source.load(3)).data[0]).toBe(30);
    expect((await open(bytes, { image: "picture", label: "number" })).classes).toEqual(["9", "10"]);
    expect((await open(bytes, { image: "picture" })).classes).toEqual([]);
    const columns = "picture (BYTE_ARRAY), kind (BYTE_ARRAY), number (INT32), weight (DOUBLE)";
    await expect(open(bytes)).rejects.toThrow(
      `x.parquet has no column image or img with bytes of images; set image to one of its columns: ${columns}`,
    );
    await expect(open(bytes, { image: "picture", label: "name" })).rejects.toThrow(
      "x.parquet has no column name with labels; set label to one of its columns: picture",
    );
    await expect(open(bytes, { image: "picture", label: "weight" })).rejects.toThrow(
      "x.parquet has labels in its column weight that are neither numbers nor text (DOUBLE)",
    );
    await expect((await open(bytes, { image: "kind" })).load(0)).rejects.toThrow(/^cannot read image row 0: .+$/);
  });

  it("name the same classes", async () => {
    const files = {
      "0.parquet": parquetOf(rows, { classes: ["a", "b"] }),
      "1.parquet": parquetOf(rows, { classes: ["b", "a"] }),
    };
    await expect(openSource({ kind: "parquet", path: writeFolder(temporaryFolder(), files) })).rejects.toThrow(
      /^1\.parquet names other classes than the files before it/,
    );
  });

  it("have no label beyond the classes they name", async () => {
    await expect(open(parquetOf(rows, { classes: ["one"] }))).rejects.toThrow(
      /x\.parquet has the label 1, which is none of the 1 classes it names$/,
    );
  });

  it.each<[string, () => Uint8Array, RegExp]>([
    [
      "empty",
      () => Buffer.alloc(0),
      /^x\.parquet is no Parquet file, or cut off: it does not end in PAR1; copy it again$/,
    ],
    ["of another kind", () => Buffer.alloc(100, "text"), /^x\.parquet is no Parquet file/],
    ["cut off", () => parquetOf(rows).subarray(0, -1), /^x\.parquet is no Parquet file, or cut off/],
    ["that lack their beginning", () => parquetOf(rows).subarray(500), /^x\.parquet is damaged/],
    ["encrypted", () => Buffer.from("PAR1....0000PARE"), /^x\.parquet is encrypted, which is not read$/],
    [
      "with a footer longer than they are",
      () => Buffer.from("PAR1\xff\xff\xff\x7fPAR1", "latin1"),
      /its footer of \d+ bytes is longer than/,
    ],
    ["without rows", () => parquetOf([]), /^no image in .*x\.parquet: it has no rows$/],
    [
      "with values coded as differences",
      () => parquetFile([{ name: "image", data: pngs, type: "BYTE_ARRAY", encoding: "DELTA_LENGTH_BYTE_ARRAY" }]),
      /^x\.parquet has the values of image coded as DELTA_LENGTH_BYTE_ARRAY, which is not read: write them PLAIN$/,
    ],
  ])("are refused: %s", async (_, make, message) => {
    await expect(open(make()).then((source) => source.load(0))).rejects.toThrow(message);
  });
});

describe("what a file says of itself is not believed", () => {
  /** A struct in Thrift's compact protocol: type and content of its fields, in order. */
  const struct = (...fields: readonly (readonly [type: number, ...content: number[]])[]) =>
    Buffer.from([...fields.flatMap(([type, ...content]) => [0x10 | type, ...content]), 0]);

  it.each<[string, Buffer, RegExp]>([
    ["an endless list", struct([9, 0xf8, 0xff, 0xff, 0xff, 0xff, 0x07]), /a list of 2147483647 values is longer/],
    ["an endless text", struct([8, 0xff, 0xff, 0xff, 0xff, 0x07]), /a value of 2147483647 bytes is longer/],
    ["an endless number", Buffer.from([0x16, ...Array(20).fill(0xff)]), /a number has no end/],
    ["no end", Buffer.from([0x15]), /a struct has no end/],
    ["too deep a nest of structs", Buffer.alloc(1000, 0x1c), /nested too deep/],
    ["too deep a nest of lists", Buffer.from([0x19, ...Array(1000).fill(0x19)]), /nested too deep/],
    ["more values than bytes can be worth", struct([9, 0xfc, 0xe8, 0x07, ...Array(1000).fill(0)]), /too many values/],
    ["an unknown type", struct([11]), /a value has the unknown type 11/],
  ])("%s", (_, bytes, message) => {
    expect(() => endOfStruct(bytes)).toThrow(message);
  });

  it("a struct ends where it says", () => {
    const bytes = struct(
      [1],
      [3, 200],
      [5, 0x80, 1],
      [7, 1, 2, 3, 4, 5, 6, 7, 8],
      [8, 2, 65, 66],
      [9, 0x21, 1, 2],
      [12, 0],
    );
    expect(endOfStruct(Buffer.concat([bytes, Buffer.alloc(5)]))).toBe(bytes.length);
  });

  it("damaged files are values or one sentence", async () => {
    const { values, errors } = await fuzz({
      name: "parquet",
      originals: [
        ...kinds.map((kind) => readFileSync(join(fixtures, `${kind}.parquet`))),
        parquetOf(rows, { classes: ["cat", "dog"] }),
      ],
      count: fuzzCount(3000),
      focus: (bytes) => [4, Math.max(bytes.length - 8, 5)],
      async read(bytes) {
        const file = inMemory("x.parquet", bytes);
        const footer = await readFooter(file);
        for (const column of footer.columns)
          for await (const page of footer.pages(column)) await readPage(file, page, column.type);
      },
    });
    expect(values).toBeGreaterThan(0);
    expect(errors.length).toBeGreaterThan(10);
    for (const [message] of errors) expect(message).toMatch(/^x\.parquet (is|has|keeps)/);
  });
});
