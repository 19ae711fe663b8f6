import { readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parquetReadObjects } from "hyparquet";
import { parquetWriteFile } from "hyparquet-writer";
import { describe, expect, it } from "vitest";
import { createFeatures, openFeatures } from "../../src/interop/features-file.ts";
import { nearest, rowNamed } from "../../src/interop/search.ts";
import type { FeaturesPart, FeaturesTable } from "../../src/interop/features.ts";
import { randomFor } from "../helpers.ts";
import { temporaryFolder } from "../run/temporary.ts";

const origin = {
  layergraft: "1.2.3",
  checkpoint: "../run/a.safetensors",
  sha256: "ab",
  model: {},
  view: {},
  images: "x",
};

function partOf(count: number, width: number, first = 0): FeaturesPart {
  const random = randomFor("features", first);
  return {
    rows: Float32Array.from({ length: count * width }, () => random.normal()),
    names: Array.from({ length: count }, (_, i) => `ä, "b"/${first + i}.jpg`),
    labels: Array.from({ length: count }, (_, i) => ((first + i) % 3 === 2 ? undefined : "cat\tdog")),
  };
}

function write(path: string, parts: readonly FeaturesPart[], table: Partial<FeaturesTable> = {}): string {
  const file = createFeatures(path, { width: 5, labelled: true, origin, ...table });
  for (const part of parts) file.append(part);
  file.commit();
  return path;
}

async function readAll(path: string) {
  const file = await openFeatures(path);
  const all = { rows: [] as number[], names: [] as string[], labels: [] as (string | undefined)[], parts: 0 };
  for await (const { rows, names, labels } of file.parts()) {
    all.rows.push(...rows);
    all.names.push(...names);
    all.labels.push(...labels);
    all.parts++;
  }
  file.close();
  return { file, ...all };
}

const place = (name: string) => join(temporaryFolder(), name);

describe.each(["features.parquet", "features.npy"])("%s", (name) => {
  it("has the rows, names, labels and origin that were written", async () => {
    const parts = [partOf(7, 5), partOf(1, 5, 7), partOf(4, 5, 8)];
    const path = write(place(name), parts);
    const { file, rows, names, labels } = await readAll(path);
    expect(file).toMatchObject({ count: 12, width: 5, origin: { sha256: "ab" } });
    expect(file.origin!.checkpoint).toBe(join(path, "../../run/a.safetensors"));
    expect(rows).toEqual(parts.flatMap((part) => [...part.rows]));
    expect(names).toEqual(parts.flatMap((part) => part.names));
    expect(labels).toEqual(parts.flatMap((part) => part.labels));
  });

  it("is read in several parts when it is large, and can be read twice", async () => {
    const path = write(place(name), [partOf(700, 3072)], { width: 3072, labelled: false });
    const file = await openFeatures(path);
    for (const _ of [1, 2]) {
      const counts = [];
      for await (const part of file.parts()) {
        counts.push(part.names.length);
        expect(part.labels.every((label) => label === undefined)).toBe(true);
      }
      expect(counts).toEqual([341, 341, 18]);
    }
    file.close();
  });

  it("is on the disk, under another name, long before it is whole", () => {
    const path = place(name);
    const folder = join(path, "..");
    const file = createFeatures(path, { width: 4096, labelled: true, origin });
    for (let i = 0; i < 10; i++) file.append(partOf(64, 4096, 64 * i));
    const largest = Math.max(...readdirSync(folder).map((each) => statSync(join(folder, each)).size));
    expect(largest).toBeGreaterThan(512 * 4096 * 4); // all but what one row group holds
    expect(readdirSync(folder).every((each) => each.startsWith("."))).toBe(true);
    file.discard();
    expect(readdirSync(folder)).toEqual([]);
  });

  it.each([0, 3, 9, 100, 5000, -1, -9])("cut after byte %i is refused in a sentence", async (at) => {
    const path = write(place(name), [partOf(300, 5)]);
    const { size } = statSync(path);
    truncateSync(path, at < 0 ? size + at : at);
    await expect(readAll(path)).rejects.toThrow(/^\S+features\.(parquet|npy) cannot be used as features: [^\n]+$/);
  });

  it("with any byte changed is read or refused, and never takes long", async () => {
    const path = write(place(name), [partOf(20, 5)]);
    const bytes = readFileSync(path);
    const random = randomFor("bytes", name);
    for (let i = 0; i < 300; i++) {
      const damaged = Uint8Array.from(bytes);
      for (let j = 0; j < 2; j++) damaged[random.integer(bytes.length)] = random.integer(256);
      writeFileSync(path, damaged);
      await readAll(path).catch((error: unknown) => {
        expect((error as Error).message).toMatch(/cannot be used as features: /);
      });
    }
  });
});

describe("Parquet", () => {
  it("is what hyparquet reads, with numbers in a list", async () => {
    const part = partOf(4, 5);
    const bytes = readFileSync(write(place("f.parquet"), [part]));
    const { buffer } = Uint8Array.from(bytes);
    expect(await parquetReadObjects({ file: buffer })).toEqual(
      part.names.map((path, i) => ({
        path,
        label: part.labels[i] ?? null,
        feature: [...part.rows.subarray(5 * i, 5 * i + 5)],
      })),
    );
  });

  const floats = { name: "element", type: "DOUBLE", repetition_type: "OPTIONAL" } as const;
  const other = (rows: unknown[], element: { type: "DOUBLE" | "INT32" } = floats) => {
    const filename = place("other.parquet");
    parquetWriteFile({
      filename,
      columnData: [{ name: "feature", data: rows }],
      schema: [
        { name: "schema", num_children: 1 },
        { name: "feature", repetition_type: "OPTIONAL", num_children: 1, converted_type: "LIST" },
        { name: "list", repetition_type: "REPEATED", num_children: 1 },
        { ...floats, ...element },
      ],
    });
    return filename;
  };

  it("of somebody else may have doubles and no names", async () => {
    const { file, rows, names } = await readAll(other([[1, 2], [3, 4.5], [5, 6]])); // prettier-ignore
    expect([file.width, file.origin, rows, names]).toEqual([
      2,
      undefined,
      [1, 2, 3, 4.5, 5, 6],
      ["row 0", "row 1", "row 2"],
    ]);
  });

  it.each([
    ["lists of several lengths", [[1, 2], [3]], /row 1 has 1 numbers where others have 2/],
    ["lists of several lengths that add up", [[1, 2, 3], [4]], /row 1 has 1 numbers where others have 3/],
    ["no list at all", [null, []], /its column feature has no list of numbers in any row/],
    [
      "a missing number",
      [
        [1, 2],
        [3, null],
      ],
      /row 1 is not a list of 2 floats/,
    ],
  ])("with %s is refused", async (_, rows, message) => {
    await expect(readAll(other(rows))).rejects.toThrow(message);
  });

  it("may have rows without a list, which are not numbers", async () => {
    const { rows, names, file } = await readAll(other([null, [1, 2], [], [3, 4]]));
    expect(file.count).toBe(4);
    expect(rows).toEqual([Number.NaN, Number.NaN, 1, 2, Number.NaN, Number.NaN, 3, 4]);
    expect(names).toHaveLength(4);
    const path = other([null, [1, 2], [3, 4]]);
    const missing: string[] = [];
    const opened = await openFeatures(path);
    const found = await nearest(opened, Float32Array.of(1, 2), 3, (name) => missing.push(name));
    expect([found.map(({ row }) => row), missing]).toEqual([[1, 2], ["row 0"]]);
    await expect(rowNamed(opened, "row 0")).rejects.toThrow(/^row 0 of .*other\.parquet, row 0, has no feature$/);
    opened.close();
  });

  it("may have halves, other columns, and names and labels that are numbers", async () => {
    const list = (name: string, element: object) => [
      { name, repetition_type: "OPTIONAL" as const, num_children: 1, converted_type: "LIST" as const },
      { name: "list", repetition_type: "REPEATED" as const, num_children: 1 },
      { name: "element", repetition_type: "REQUIRED" as const, ...element },
    ];
    const half = { type: "FIXED_LEN_BYTE_ARRAY", type_length: 2, logical_type: { type: "FLOAT16" } };
    const write = (...names: readonly string[]) => {
      const filename = place("other.parquet");
      parquetWriteFile({
        filename,
        columnData: [
          { name: "id", data: [7, 8] },
          { name: "label", data: [1, 0] },
          ...names.map((name) => ({ name, data: [[0.5, -2], [1, 3]] })), // prettier-ignore
        ],
        schema: [
          { name: "schema", num_children: 2 + names.length },
          { name: "id", type: "INT32", repetition_type: "REQUIRED" },
          { name: "label", type: "INT32", repetition_type: "REQUIRED" },
          ...names.flatMap((name) => list(name, half)),
        ],
      });
      return filename;
    };
    const one = await readAll(write("embeddings"));
    expect([one.rows, one.names, one.labels]).toEqual([
      [0.5, -2, 1, 3],
      ["7", "8"],
      ["1", "0"],
    ]);
    const two = write("clip", "dino");
    await expect(openFeatures(two)).rejects.toThrow(
      "several columns of lists of floats: clip, dino; say which one with",
    );
    const { width, close } = await openFeatures(two, { column: "dino" });
    close();
    expect(width).toBe(2);
    await expect(openFeatures(two, { column: "mae" })).rejects.toThrow(
      "it has no column mae of lists of floats, but: id (int32), label (int32), clip (list of float16), dino (list of float16)",
    );
  });

  it("without features is refused, and told what it has", async () => {
    await expect(readAll(other([[1], [2]], { type: "INT32" }))).rejects.toThrow(
      "it has no column of lists of floats, but: feature (list of int32)",
    );
    const filename = place("x.parquet");
    parquetWriteFile({ filename, columnData: [{ name: "price", data: [1.5, 2.5] }] });
    await expect(openFeatures(filename)).rejects.toThrow("lists of floats, but: price (double)");
  });
});

describe(".npy", () => {
  const npy = (header: string, data: ArrayBufferView = new Float32Array(6), version = 1) => {
    const path = place("other.npy");
    const head = Buffer.alloc(version === 1 ? 10 : 12);
    head.write("\x93NUMPY", "latin1");
    head[6] = version;
    if (version === 1) head.writeUInt16LE(header.length, 8);
    else head.writeUInt32LE(header.length, 8);
    writeFileSync(path, Buffer.concat([head, Buffer.from(header), new Uint8Array(data.buffer)]));
    return path;
  };
  const header = (type: string, shape = "(3, 2)", order = "False") =>
    `{'descr': '${type}', 'fortran_order': ${order}, 'shape': ${shape}, }   \n`;

  it("of other floats is widened or rounded to float32", async () => {
    const half = Uint16Array.of(0x3c00, 0xc000, 0x0001, 0x7bff, 0x8000, 0x3555);
    const values = [1, -2, 2 ** -24, 65504, -0, 0.333251953125];
    expect((await readAll(npy(header("<f2"), half))).rows).toEqual(values);
    expect((await readAll(npy(header("<f4"), Float32Array.from(values), 2))).rows).toEqual(values);
    expect((await readAll(npy(header("<f8"), Float64Array.from(values)))).rows).toEqual(values);
  });

  it.each([
    [header(">f4"), /type >f4; read are <f2, <f4, <f8: use astype/],
    [header("<i8"), /type <i8/],
    [header("|O"), /type \|O/],
    ["{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (6,), }\n", /not that of a plain array/],
    [header("<f4", "(3, 2)", "True"), /Fortran order/],
    [header("<f4", "(6,)"), /shape is \(6,\); expected a row of numbers per image/],
    [header("<f4", "(1, 3, 2)"), /shape is \(1, 3, 2\)/],
    [header("<f4", "(3, 20000000000)"), /should have \d+ bytes, but has/],
    [header("<f4", "(99999999999999999999999, 2)"), /should have .* bytes, but has/],
    [header("<f4", "(6, 0)"), /expected a row of numbers/],
  ])("with the header %s is refused", async (text, message) => {
    await expect(openFeatures(npy(text))).rejects.toThrow(message);
  });

  it("needs as many names as rows, where there are names", async () => {
    const path = write(place("f.npy"), [partOf(4, 5)]);
    const names = path.replace(".npy", ".names.txt");
    writeFileSync(names, "a\nb\nc\n");
    await expect(readAll(path)).rejects.toThrow("has 3 lines for 4 rows");
    writeFileSync(names, "a\nb\nc\nd\ne\n");
    await expect(readAll(path)).rejects.toThrow("more lines than the 4 rows");
    writeFileSync(names, "x".repeat(200_000));
    await expect(readAll(path)).rejects.toThrow("a line of more than");
  });

  it("has a line per name, whatever is in a name", async () => {
    const part = { ...partOf(2, 5), names: ["two\nlines", "b"] };
    const path = write(place("f.npy"), [part], { labelled: false });
    expect(readFileSync(path.replace(".npy", ".names.txt"), "utf8")).toBe("two lines\nb\n");
    expect(readdirSync(join(path, "..")).sort()).toEqual(["f.json", "f.names.txt", "f.npy"]);
  });
});

it("other files and other names are refused", async () => {
  const path = place("f.csv");
  expect(() => createFeatures(path, { width: 1, labelled: false, origin })).toThrow("neither .parquet nor .npy");
  await expect(openFeatures(path)).rejects.toThrow(/f\.csv cannot be used as features: .*no such file/);
  writeFileSync(path, "PK\x03\x04....");
  await expect(openFeatures(path)).rejects.toThrow(
    "it is an archive, such as .npz: save one array of it with numpy.save",
  );
  writeFileSync(path, "\x93NUMPY\x01\0", "latin1");
  await expect(openFeatures(path, { column: "x" })).rejects.toThrow("a .npy file has no columns; leave out --column");
  writeFileSync(path, "a,b\n1,2\n");
  await expect(openFeatures(path)).rejects.toThrow("it is neither a Parquet nor a .npy file");
  await expect(openFeatures(join(path, ".."))).rejects.toThrow("cannot be used as features");
});
