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
    const { classes, notes } = await open(bytes, { image: "picture" });
    expect(classes).toEqual([]);
    expect(notes).toEqual([
      "none of the columns of x.parquet is called label, so no labels are used; if one of kind, number, weight is meant, " +
        "say so with --label-column",
    ]);
    await expect(open(bytes, { image: "photo" })).rejects.toThrow(
      "x.parquet has no column photo of images; say which of its columns has them with --image-column: picture (bytes), " +
        "kind (text), number (int32), weight (double)",
    );
    await expect(open(bytes, { label: "name" })).rejects.toThrow(
      "x.parquet has no column name of labels; say which of its columns has them with --label-column: picture (bytes)",
    );
    await expect(open(bytes, { label: "weight" })).rejects.toThrow(
      "x.parquet has in its column weight numbers with fractions (0.5), and no whole ones",
    );
    await expect(open(bytes, { image: "kind" })).rejects.toThrow(
      /^x\.parquet names images that are not there: owl \(row 0; looked for .*owl\); a name needs its ending/,
    );
  });

  it("have the images in the column that says so, or is called so, or alone holds images", async () => {
    const bytes = (name: string) => ({ name, data: pngs.slice(0, 2), type: "BYTE_ARRAY" as const });
    const text = (name: string) => ({ name, data: ["a", "b"], type: "STRING" as const });
    const other = {
      name: "tensor",
      data: [Buffer.from([1, 0xff]), Buffer.from([2, 0xff])],
      type: "BYTE_ARRAY" as const,
    };
    const first = async (columns: Parameters<typeof parquetFile>[0], features?: object) => {
      const kvMetadata = [{ key: "huggingface", value: JSON.stringify({ info: { features } }) }];
      const source = await open(parquetFile(columns, features === undefined ? {} : { kvMetadata }));
      return [(await source.load(1)).data[0], ...source.classes];
    };
    expect(await first([text("caption"), other, bytes("scan")])).toEqual([10]);
    expect(await first([bytes("mask"), bytes("Image"), text("LABEL")])).toEqual([10, "a", "b"]);
    expect(
      await first([bytes("mask"), bytes("scan"), text("kind")], {
        scan: { _type: "Image" },
        kind: { _type: "ClassLabel", names: ["b", "a"] },
      }),
    ).toEqual([10, "b", "a"]);
    await expect(first([bytes("left"), bytes("right")])).rejects.toThrow(
      "x.parquet has several columns of images, left, right; say which one with --image-column",
    );
    await expect(first([text("caption"), other])).rejects.toThrow(
      "x.parquet has no column of images; say which of its columns has them with --image-column: caption (text), tensor (bytes)",
    );
  });

  it("are told by their metadata from files that lie beside them", async () => {
    const dir = writeFolder(temporaryFolder(), {
      "a.parquet": parquetOf(rows),
      "scores.parquet": parquetFile([{ name: "score", data: [0.5, 1], type: "DOUBLE" }]),
    });
    const { length, notes } = await openSource({ kind: "parquet", path: dir });
    expect(length).toBe(10);
    expect(notes).toEqual([expect.stringMatching(/^left out: scores\.parquet has no column of images; /)]);
  });

  const labelled = (...columns: Parameters<typeof parquetFile>[0]) => {
    const data = pngs.slice(0, (columns[0]!.data as { length: number }).length);
    return open(parquetFile([{ name: "image", data, type: "BYTE_ARRAY" }, ...columns]));
  };

  it.each<[string, Parameters<typeof parquetFile>[0][number], readonly string[], readonly number[]]>([
    ["booleans", { name: "label", data: [true, false, true], type: "BOOLEAN" }, ["false", "true"], [1, 0, 1]],
    ["whole doubles", { name: "label", data: [10, null, Number.NaN, 9], type: "DOUBLE" }, ["9", "10"], [1, -1, -1, 0]],
    ["floats", { name: "labels", data: [1, 0], type: "FLOAT" }, ["0", "1"], [1, 0]],
    [
      "large numbers",
      { name: "class", data: [2n ** 60n, 2n ** 60n + 1n], type: "INT64" },
      [`${2n ** 60n}`, `${2n ** 60n + 1n}`],
      [0, 1],
    ],
    ["empty text", { name: "category", data: ["a", "", "b"], type: "STRING" }, ["a", "b"], [0, -1, 1]],
  ])("have labels that are %s", async (_, column, classes, labels) => {
    const source = await labelled(column);
    expect(source.classes).toEqual(classes);
    expect(factsOf(source).map(([, label]) => label)).toEqual(labels);
    expect(source.notes).toEqual([]);
  });

  it.each<[string, Parameters<typeof parquetFile>[0][number], string]>([
    ["fractions", { name: "label", data: [0.5, 1], type: "DOUBLE" }, "numbers with fractions (0.5), and no whole ones"],
    ["times", { name: "label", data: [new Date(0), new Date(1)], type: "TIMESTAMP" }, "values of the type timestamp"],
    ["JSON", { name: "label", data: [{ a: 1 }, { a: 2 }], type: "JSON" }, "values of the type json"],
    [
      "bytes",
      { name: "label", data: [Buffer.from([0xff]), Buffer.from([0xfe])], type: "BYTE_ARRAY" },
      "bytes that are no text",
    ],
  ])("are images without labels where these are %s", async (_, column, message) => {
    const source = await labelled(column);
    expect([source.length, source.classes]).toEqual([2, []]);
    expect(source.notes).toEqual([expect.stringMatching(/^labels are not used: x\.parquet has in its column label /)]);
    expect(source.notes![0]).toContain(message);
  });

  it("are images without labels where these are lists", async () => {
    const source = await open(
      parquetFile(
        [
          { name: "image", data: pngs.slice(0, 2) },
          { name: "label", data: [[1, 2], [3]] },
        ],
        {
          schema: [
            { name: "root", num_children: 2 },
            { name: "image", type: "BYTE_ARRAY", repetition_type: "REQUIRED" },
            { name: "label", num_children: 1, repetition_type: "OPTIONAL", converted_type: "LIST" },
            { name: "list", num_children: 1, repetition_type: "REPEATED" },
            { name: "element", type: "INT32", repetition_type: "OPTIONAL" },
          ],
        },
      ),
    );
    expect(source.notes).toEqual([
      "labels are not used: x.parquet has in its column label a list for each image, and not one label",
    ]);
  });

  it("say of labels that are missing or in a struct why they are not used, and once for all files", async () => {
    const none = await labelled({ name: "label", data: [null, null], type: "INT32" });
    expect(none.notes).toEqual(["labels are not used: x.parquet has none in its column label"]);
    const data = pngs.slice(0, 2).map((image, i) => ({ image, label: { id: i, name: `${i}` } }));
    const bytes = parquetFile(
      [
        { name: "image", data: data.map(({ image }) => image) },
        { name: "label", data: data.map(({ label }) => label) },
      ],
      {
        schema: [
          { name: "root", num_children: 2 },
          { name: "image", type: "BYTE_ARRAY", repetition_type: "REQUIRED" },
          { name: "label", num_children: 2, repetition_type: "OPTIONAL" },
          { name: "id", type: "INT32", repetition_type: "REQUIRED" },
          { name: "name", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "REQUIRED" },
        ],
      },
    );
    const files = { "a.parquet": bytes, "b.parquet": bytes, "c.parquet": bytes };
    const path = writeFolder(temporaryFolder(), files);
    const { notes } = await openSource({ kind: "parquet", path });
    expect(notes).toEqual([
      "labels are not used: a.parquet has several fields in its column label; say which one with --label-column: " +
        "label.id, label.name (and 2 more files alike)",
    ]);
    expect((await openSource({ kind: "parquet", path, label: "label.name" })).classes).toEqual(["0", "1"]);
  });

  it("may name other classes, or the same in another order", async () => {
    const files = {
      "0.parquet": parquetOf(rows, { classes: ["a", "b"] }),
      "1.parquet": parquetOf(rows, { classes: ["b", "a"] }),
      "2.parquet": parquetOf(rows, { classes: ["c", "b"] }),
      "3.parquet": parquetOf(rows), // numbers alone
    };
    const source = await openSource({ kind: "parquet", path: writeFolder(temporaryFolder(), files) });
    expect(source.classes).toEqual(["a", "b", "c"]);
    expect([0, 1, 10, 11, 20, 21, 30, 31].map((i) => source.label(i))).toEqual([0, 1, 1, 0, 2, 1, 0, 1]);
  });

  it("may have labels beyond the classes they name, which are none", async () => {
    const source = await open(parquetOf(rows, { classes: ["one"] }));
    expect(factsOf(source).map(([, label]) => label)).toEqual([0, -1, 0, -1, 0, -1, 0, -1, 0, -1]);
    expect(source.notes).toEqual([
      "x.parquet has 5 labels in its column label that are none of the 1 classes it names (the first: 1); " +
        "these images count as having none",
    ]);
  });

  it("may have paths in place of images, beside the file or below a root", async () => {
    const dir = temporaryFolder();
    writeFolder(join(dir, "far"), Object.fromEntries(pngs.slice(0, 3).map((bytes, i) => [`${i}.png`, bytes])));
    const put = (name: string, bytes: Uint8Array) => writeFolder(dir, { [name]: bytes });
    const structs = (prefix: string) => [0, 1, 2].map((i) => ({ bytes: null, path: `${prefix}${i}.png`, label: i }));
    put("structs.parquet", parquetOf(structs("far/")));
    put("absolute.parquet", parquetOf(structs(`${dir}/far/`)));
    put("text.parquet", parquetFile([{ name: "file_name", data: ["far/0.png", "far/1.png", "far\\2.png"] }]));
    for (const name of ["structs", "absolute", "text"]) {
      const source = await openSource({ kind: "parquet", path: join(dir, `${name}.parquet`) });
      for (const i of [2, 0, 1]) expect((await source.load(i)).data[0]).toBe(10 * i);
    }
    put("mixed.parquet", parquetOf([rows[5]!, { bytes: null, path: "far/1.png" }, { bytes: null }]));
    const mixed = await openSource({ kind: "parquet", path: join(dir, "mixed.parquet") });
    expect([(await mixed.load(0)).data[0], (await mixed.load(1)).data[0]]).toEqual([50, 10]);
    await expect(mixed.load(2)).rejects.toThrow("cannot read image row 2: its row has no image");
    put("bare.parquet", parquetOf(structs("")));
    const bare = join(dir, "bare.parquet");
    const far = await openSource({ kind: "parquet", path: bare, root: join(dir, "far") });
    expect((await far.load(2)).data[0]).toBe(20);
    await expect(openSource({ kind: "parquet", path: bare })).rejects.toThrow(
      /^bare\.parquet names images that are not there: 0\.png \(row 0; looked for .*\/0\.png\); they are there below .*far: add --root .*far$/,
    );
    put("none.parquet", parquetOf([{ bytes: null }, { bytes: null }]));
    await expect(openSource({ kind: "parquet", path: join(dir, "none.parquet") })).rejects.toThrow(
      "none.parquet has neither bytes nor paths of images in its rows",
    );
  });

  it("may have base64 in place of bytes, and no addresses", async () => {
    const base64 = pngs.slice(0, 3).map((bytes) => Buffer.from(bytes).toString("base64"));
    for (const data of [base64, base64.map((text) => `data:image/png;base64,${text}`)]) {
      const source = await open(parquetFile([{ name: "image", data, type: "STRING" }]));
      expect((await source.load(2)).data[0]).toBe(20);
    }
    const urls = ["https://example.org/1.jpg", "https://example.org/2.jpg"];
    await expect(open(parquetFile([{ name: "image", data: urls, type: "STRING" }]))).rejects.toThrow(
      "x.parquet names addresses in place of images (row 0: https://example.org/1.jpg); download the images",
    );
  });

  it("may be smaller than the paths in them", async () => {
    const dir = temporaryFolder();
    const path = `${"deep/".repeat(40)}1.png`;
    writeFolder(dir, { [path]: pngs[1]! });
    const data = Array.from({ length: 5000 }, () => path);
    const bytes = parquetFile([{ name: "image", data, type: "STRING", encoding: "RLE_DICTIONARY" }]);
    expect(bytes.length).toBeLessThan(data.length);
    writeFolder(dir, { "x.parquet": bytes });
    const source = await openSource({ kind: "parquet", path: join(dir, "x.parquet") });
    expect(source.length).toBe(5000);
    expect((await source.load(4999)).data[0]).toBe(10);
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
