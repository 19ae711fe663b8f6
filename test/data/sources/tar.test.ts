import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { create } from "tar";
import { describe, expect, it } from "vitest";
import { inMemory } from "../../../src/data/formats/positioned.ts";
import type { Source } from "../../../src/data/source.ts";
import { openSource } from "../../../src/data/sources/open.ts";
import { members } from "../../../src/data/formats/tar-members.ts";
import { fuzz, fuzzCount } from "../../fuzz.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { animals, image, sealTar, tarMember, tarOf, writeFolder, zipOf } from "./shards.ts";

const factsOf = ({ length, id, label }: Source) => Array.from({ length }, (_, i) => [id(i), label(i)]);
const redOf = async (source: Source, i: number) => (await source.load(i)).data[0];

/** A folder with these archives, and what is opened of it. */
function packed(archives: Readonly<Record<string, string | Uint8Array>>) {
  const dir = writeFolder(temporaryFolder(), archives);
  return { dir, open: (more: object = {}) => openSource({ kind: "tar", path: dir, ...more }) };
}

const end = Buffer.alloc(1024);
const png = await image(1);

describe("tar archives", () => {
  it("have folders as classes, and names in front of their images when they are several", async () => {
    const files = await animals(4);
    const { dir, open } = packed({ "b.tar": tarOf(files), "a.tar": tarOf({ "./dog/x.png": await image(7) }) });
    const both = await open();
    expect(both.classes).toEqual(["cat", "dog"]);
    expect(factsOf(both).slice(0, 3)).toEqual([
      ["a.tar/dog/x.png", 1],
      ["b.tar/cat/0.png", 0],
      ["b.tar/dog/1.png", 1],
    ]);
    expect([await redOf(both, 0), await redOf(both, 4)]).toEqual([70, 30]);
    const one = await open({ path: join(dir, "b.tar") });
    expect(factsOf(one)[0]).toEqual(["cat/0.png", 0]);
    expect((await open({ path: join(dir, "{a,b}.tar") })).length).toBe(5);
  });

  it("say in their names which split they are", async () => {
    const [train, test] = [tarOf({ "1.png": png }), tarOf({ "2.png": await image(2), "3.png": png })];
    const shards = { "train-000.tar": train, "train-001.tar": train, "test-000.tar": test };
    const { dir, open } = packed(shards);
    const part = await open({ split: "test" });
    expect([part.length, part.id(0), part.split!(0), await redOf(part, 0)]).toEqual([
      2,
      "test-000.tar/2.png",
      "test",
      20,
    ]);
    expect((await open({ split: "train" })).length).toBe(2);
    await expect(open({ path: join(dir, "train-*"), split: "test" })).rejects.toThrow(/has no splits; they would be/);
  });

  it("leave out hidden files, links and all that is no image", async () => {
    const { open } = packed({
      "x.tar": Buffer.concat([
        tarMember({ path: "a/", type: "Directory" }, ""),
        tarMember({ path: "a/._1.png" }, "x"),
        tarMember({ path: "a/1.png" }, png),
        tarMember({ path: "a/2.png", type: "SymbolicLink", linkpath: "1.png" }, ""),
        tarMember({ path: "a/3.png", type: "Link", linkpath: "a/1.png" }, ""),
        tarMember({ path: "notes.txt" }, "x"),
        tarMember({ path: "a/1.png" }, await image(2)), // as tar -r appends
        end,
      ]),
    });
    expect(factsOf(await open())).toEqual([
      ["a/1.png", -1],
      ["a/1.png", -1],
    ]);
    expect(await redOf(await open(), 1)).toBe(20);
  });

  it("name an image that is none", async () => {
    const { open } = packed({ "x.tar": tarOf({ "1.png": "no image", "2.png": png }) });
    await expect((await open()).load(0)).rejects.toThrow(/^cannot read image 1\.png: /);
  });
});

describe("WebDataset's shards", () => {
  it("have labels beside images", async () => {
    const { dir, open } = packed({
      "000.tar": tarOf({
        "0001.jpg": png,
        "0001.cls": "2\n",
        "0001.json": '{"animal": "owl"}',
        "0002.cls": "7",
        "0002.txt": "a sample without an image",
        "0003.json": '{"animal": "bat"}',
        "0003.mask.png": png,
        "0003.cls": "10",
        "0003.png": png,
      }),
      "001.tar": tarOf({ "0004.png": png, "0004.json": "{}", "0005.png": png, "0005.cls": "10" }),
    });
    const source = await open();
    expect(source.classes).toEqual(["2", "10"]);
    expect(factsOf(source)).toEqual([
      ["000.tar/0001.jpg", 0],
      ["000.tar/0003.png", 1],
      ["001.tar/0004.png", -1],
      ["001.tar/0005.png", 1],
    ]);
    const byJson = await open({ jsonLabel: "animal" });
    expect(byJson.classes).toEqual(["bat", "owl"]);
    expect(factsOf(byJson).map(([, label]) => label)).toEqual([1, 0, -1, -1]);
    await expect(open({ jsonLabel: "plant" })).rejects.toThrow("has a .json beside it with a field plant");

    writeFileSync(join(dir, "classes.txt"), "ant\nbat\ncat\n");
    await expect(open()).rejects.toThrow(/ has the label 10, which is none of the 3 classes in .*classes\.txt$/);
    writeFileSync(join(dir, "classes.txt"), Array.from({ length: 11 }, (_, i) => `class ${i}\r\n`).join(""));
    expect(factsOf(await open()).map(([, label]) => label)).toEqual([2, 10, -1, 10]);
    expect((await open()).classes[10]).toBe("class 10");
  });

  it("are put together end to end", async () => {
    const all = Object.entries(await animals(6));
    const parts = [0, 2, 4].map((start) => tarOf(Object.fromEntries(all.slice(start, start + 2))));
    const path = join(writeFolder(temporaryFolder(), { "a.tar": Buffer.concat(parts) }), "a.tar");
    const source = await openSource({ kind: "tar", path });
    expect([source.length, source.classes, source.notes]).toEqual([6, ["cat", "dog"], []]);
    expect((await source.load(5)).data[0]).toBe(50);
    writeFileSync(path, Buffer.concat([parts[0]!, Buffer.alloc(700, "x")]));
    expect((await openSource({ kind: "tar", path })).notes).toEqual([
      "not read: a.tar: 700 bytes after its end, which are no tar archive",
    ]);
    writeFileSync(path, Buffer.concat([parts[0]!, parts[1]!.subarray(0, 600)]));
    await expect(openSource({ kind: "tar", path })).rejects.toThrow(/^a\.tar is cut off: /);
  });

  it("have labels far from their images when they are sorted by endings", async () => {
    const [a, b, c] = [await image(0), await image(1), await image(2)];
    const files = { "1.cls": "cat", "2.cls": "dog", "4.cls": "owl", "1.jpg": a, "2.jpg": b, "3.jpg": c };
    const path = join(writeFolder(temporaryFolder(), { "a.tar": tarOf(files) }), "a.tar");
    const { classes, label, notes } = await openSource({ kind: "tar", path });
    expect([classes, label(0), label(1), label(2)]).toEqual([["cat", "dog"], 0, 1, -1]);
    expect(notes).toEqual(["1 label belongs to no image"]);
  });

  it("have masks that are no images when they are sorted by endings", async () => {
    const bytes = await image(0);
    const files = {
      "1.cls": "cat",
      "2.cls": "dog",
      "1.jpg": bytes,
      "2.jpg": bytes,
      "1.mask.png": bytes,
      "2.x.txt": "x",
    };
    const path = join(writeFolder(temporaryFolder(), { "a.tar": tarOf(files) }), "a.tar");
    const { length, id, notes } = await openSource({ kind: "tar", path });
    expect([length, id(0), id(1), notes]).toEqual([2, "1.jpg", "2.jpg", []]);
  });

  it("have labels of their own where names come twice", async () => {
    const bytes = await image(0);
    const parts = ["cat", "dog"].map((name) => tarOf({ "1.jpg": bytes, "1.cls": name }));
    const path = join(writeFolder(temporaryFolder(), { "a.tar": Buffer.concat(parts) }), "a.tar");
    const { classes, label } = await openSource({ kind: "tar", path });
    expect([classes, label(0), label(1)]).toEqual([["cat", "dog"], 0, 1]);
  });

  it("keep all images whose names only begin alike", async () => {
    const { open } = packed({ "x.tar": tarOf({ "a/photo.1.png": png, "a/photo.2.png": png, "b/photo.png": png }) });
    expect(factsOf(await open()).map(([, label]) => label)).toEqual([0, 0, 1]);
  });

  it("say which label cannot be read", async () => {
    const { open } = packed({ "x.tar": tarOf({ "1.png": png, "1.json": "{label" }) });
    await expect(open({ jsonLabel: "label" })).rejects.toThrow(/^x\.tar\/1\.json is no JSON: /);
  });
});

describe("members of what others write", () => {
  const longName = `${"long-".repeat(18)}/${"name-".repeat(30)}é.png`;
  const names = ["short.png", longName, `${"folder/".repeat(13)}${"x".repeat(90)}.png`];
  const packing = () =>
    writeFolder(temporaryFolder(), Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
  const list = async (bytes: Buffer) => {
    const found: Record<string, string> = {};
    for await (const { name, offset, size } of members(inMemory("x.tar", bytes)))
      found[name] = bytes.toString("utf8", offset, offset + size);
    return found;
  };

  it.skipIf(process.platform !== "linux").each([
    ["gnu", names],
    ["pax", names],
    ["ustar", [names[0]!, names[2]!]],
    ["v7", [names[0]!]],
  ])("tar --format=%s", async (format, packable) => {
    const bytes = execFileSync("tar", [`--format=${format}`, "-cf", "-", ...packable], { cwd: packing() });
    expect(await list(bytes)).toEqual(Object.fromEntries(packable.map((name) => [name, `content of ${name}`])));
  });

  it("node-tar", async () => {
    const dir = packing();
    await create({ file: join(dir, "x.tar"), cwd: dir }, names);
    const found = await list(readFileSync(join(dir, "x.tar")));
    expect(found).toEqual(Object.fromEntries(names.map((name) => [name, `content of ${name}`])));
  });

  it("sizes in base 256 and in pax headers", async () => {
    const large = tarMember({ path: "a.png" }, "x".repeat(700));
    large.fill(0, 124, 136);
    large[124] = 0x80;
    large.writeUInt32BE(700, 132);
    sealTar(large);
    const text = "content";
    const pax = tarMember({ path: "PaxHeader", type: "ExtendedHeader" }, `10 size=7\n`);
    const small = tarMember({ path: "b.png", size: 0 }, text);
    sealTar(small);
    expect(await list(Buffer.concat([large, pax, small, end]))).toEqual({ "a.png": "x".repeat(700), "b.png": text });
  });
});

describe("damaged tar archives", () => {
  const member = tarMember({ path: "1.png" }, png);

  it.each<[string, () => Buffer | Promise<Buffer>, RegExp]>([
    [
      "that are zip archives",
      () => zipOf([["1.txt", Buffer.alloc(600)]], { method: 0 }),
      /^x\.tar is a zip archive, whatever it is called: let its name end in \.zip$/,
    ],
    ["empty", () => Buffer.alloc(0), /^no image in .*: it is empty \(images are files that end in \.jpg, /],
    ["blank", () => end, /^no image in /],
    ["with labels only", () => tarOf({ "1.cls": "3", "2.cls": "4" }), /^no image in /],
    [
      "cut off in a file",
      () => member.subarray(0, 550),
      /^x\.tar is cut off: 1\.png goes to byte \d+, but it has 550; copy/,
    ],
    [
      "cut off in a header",
      () => Buffer.concat([member, member.subarray(0, 100)]),
      /^x\.tar is cut off: a header goes to /,
    ],
    [
      "with a wrong checksum",
      () => Buffer.concat([member, Buffer.from(member).fill("y", 0, 1)]),
      /damaged .*: the checksum of a header is wrong \(byte \d+\)/,
    ],
    ["of another kind", () => Buffer.alloc(600, "text"), /^x\.tar is damaged or no tar archive: the checksum/],
    [
      "compressed",
      () => Buffer.from([0x1f, 0x8b, ...end]),
      /^x\.tar is compressed, so that no image can be read by itself/,
    ],
    [
      "with a lie about a size",
      () => tarMember({ path: "1.png", size: 2 ** 40 }, png),
      /^x\.tar is cut off: 1\.png goes to byte 109\d+, but/,
    ],
    [
      "with a sparse file",
      () => {
        const sparse = Buffer.from(member);
        sparse.write("S", 156);
        sealTar(sparse);
        return sparse;
      },
      /^x\.tar has a sparse file, 1\.png, which is not read: pack it without --sparse$/,
    ],
    [
      "with a sparse file as pax has it",
      () => Buffer.concat([tarMember({ path: "P", type: "ExtendedHeader" }, "22 GNU.sparse.major=1\n"), member]),
      /has a sparse file/,
    ],
    [
      "with an endless name",
      () => tarMember({ path: "L", type: "NextFileHasLongPath" }, Buffer.alloc(2 ** 21, "x")),
      /an extended header has 2097152 bytes/,
    ],
  ])("%s", async (_, make, message) => {
    const { dir, open } = packed({ "x.tar": await make() });
    await expect(open({ path: join(dir, "x.tar") })).rejects.toThrow(message);
  });

  it("that are not there", async () => {
    const { dir, open } = packed({ "notes.txt": "x" });
    await expect(open()).rejects.toThrow(/^no \.tar file in .*: not read: 1 \.txt$/);
    await expect(open({ path: join(dir, "none.tar") })).rejects.toThrow(/^there is no file or folder .*none\.tar/);
  });

  it("are a value or one sentence", async () => {
    const files = Buffer.concat([
      tarMember({ path: "a/1.png" }, png),
      tarMember({ path: `${"é".repeat(90)}/2.png` }, "x"),
      tarMember({ path: "L", type: "NextFileHasLongPath" }, `${"n".repeat(150)}.png\0`),
      tarMember({ path: "3.png" }, "y".repeat(600)),
      end,
    ]);
    const { values, errors } = await fuzz({
      name: "tar",
      originals: [files, Buffer.concat([files, Buffer.alloc(2048), files])],
      count: fuzzCount(4000),
      repair: (bytes) => {
        for (let at = 0; at + 512 <= bytes.length; at += 512)
          if (bytes.toString("latin1", at + 257, at + 262) === "ustar") sealTar(bytes, at);
      },
      read: async (bytes) => {
        const file = inMemory("x.tar", bytes);
        for await (const { offset, size } of members(file)) await file.read(offset, size);
      },
    });
    expect(values).toBeGreaterThan(0);
    for (const [message] of errors) expect(message).toMatch(/^x\.tar (is|has)/);
  });
});

it("an archive that changes is indexed anew", async () => {
  const { dir, open } = packed({ "x.tar": tarOf({ "1.png": png }) });
  expect((await open()).length).toBe(1);
  writeFileSync(join(dir, "y.tar"), tarOf({ "1.png": png, "2.png": png }));
  expect((await open()).length).toBe(3);
  expect(basename((await open()).name)).toBe(basename(dir));
});
