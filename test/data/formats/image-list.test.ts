import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { parseList, readList } from "../../../src/data/formats/image-list.ts";
import type { ListColumns } from "../../../src/data/formats/listed-image.ts";
import { fuzz, fuzzCount } from "../../fuzz.ts";
import { temporaryFolder } from "../../run/temporary.ts";

/** Path, label and split of each image, as far as it has them. */
function read(content: string | Uint8Array, columns: ListColumns = {}, name = "x.txt") {
  const { images, notes } = parseList(name, Buffer.from(content), columns);
  const rows = [...images].map(({ path, label, split }) => [path, label, split].filter((each) => each !== undefined));
  return { rows, notes };
}

const three = [
  ["cat/1.jpg", "cat"],
  ["dog/a b.PNG", "dog"],
  ["cat/2.jpeg", "cat"],
];
const spaced = "cat/1.jpg cat\ndog/a b.PNG dog\ncat/2.jpeg cat\n";
const commas = "cat/1.jpg,cat\ndog/a b.PNG,dog\ncat/2.jpeg,cat\n";

describe("a list", () => {
  it("has a path and a label a line, whatever ends it", () => {
    const text = "\uFEFFtrain/a/x.JPEG 0\r\n\r\n  train/b/two  words.JPEG\t1 \r\ntrain/b/y.JPEG   cat";
    expect([...parseList("x.txt", Buffer.from(text)).images]).toMatchObject([
      { path: "train/a/x.JPEG", label: "0", line: 1 },
      { path: "train/b/two  words.JPEG", label: "1", line: 3 },
      { path: "train/b/y.JPEG", label: "cat", line: 4 },
    ]);
  });

  it.each<[string, string | Uint8Array]>([
    ["white space", spaced],
    ["lines that end in CR", spaced.replaceAll("\n", "\r")],
    ["UTF-16 with its mark", Buffer.from(`\uFEFF${spaced}`, "utf16le")],
    ["UTF-16 of the other order", Buffer.from(`\uFEFF${spaced}`, "utf16le").swap16()],
    ["UTF-16 without a mark", Buffer.from(spaced, "utf16le")],
    ["UTF-16 of the other order without a mark", Buffer.from(spaced, "utf16le").swap16()],
    ["quotes", '"cat/1.jpg" "cat"\n"dog/a b.PNG" "dog"\n"cat/2.jpeg" cat\n'],
    ["commas", commas],
    ["commas and spaces", commas.replaceAll(",", " , ")],
    ["semicolons", commas.replaceAll(",", ";")],
    ["tabs", commas.replaceAll(",", "\t")],
    ["quotes and commas", commas.replaceAll(/^(.*),(.*)$/gm, '"$1","$2"')],
    ["a heading", `image,label\n${commas}`],
    ["another heading", `Filename;Class\n${commas.replaceAll(",", ";")}`],
    ["the label first", `breed,path\n${commas.replaceAll(/^(.*),(.*)$/gm, "$2,$1")}`],
    ["numbers of rows and more columns", `,width,file_name,label,note\n${commas.replaceAll(/^(.+)$/gm, "7,640,$1,")}`],
    ["columns around, by tabs and without a heading", commas.replaceAll(/^(.*),(.*)$/gm, "$2\t$1")],
  ])("may have %s", (_, content) => {
    expect(read(content).rows).toEqual(three);
  });

  it("has paths and labels with spaces, commas, quotes and line breaks in them", () => {
    expect(read("a b.jpg  golden retriever\nc, d.png house cat test\n").rows).toEqual([
      ["a b.jpg", "golden retriever"],
      ["c, d.png", "house cat", "test"],
    ]);
    expect(read('path,label,caption\n"a, b.jpg","a ""big"" dog","two\nlines"\nc.png,,x\n').rows).toEqual([
      ["a, b.jpg", 'a "big" dog'],
      ["c.png"],
    ]);
  });

  it("has no label where a line ends like an image", () => {
    expect(read("two words.jpg\nalone\n").rows).toEqual([["two words.jpg"], ["alone"]]);
  });

  it("keeps the bytes of names that are not UTF-8", () => {
    const bytes = Buffer.from("\xe9t\xe9.jpg \xe0\n", "latin1");
    const [image] = parseList("x.txt", bytes).images;
    expect(image).toMatchObject({ path: "�t�.jpg", label: "à" });
    expect(image!.bytes).toEqual(bytes.subarray(0, 7));
    // UTF-8 has bytes that are spaces in Latin-1
    expect(read("voilà.jpg là\nà b.jpg à\n").rows).toEqual([
      ["voilà.jpg", "là"],
      ["à b.jpg", "à"],
    ]);
  });

  it("has splits in their place", () => {
    const rows = [
      ["a.jpg", "cat", "train"],
      ["b.jpg", "dog", "test"],
    ];
    expect(read("a.jpg cat train\nb.jpg dog test").rows).toEqual(rows);
    expect(read("a.jpg,cat,train\nb.jpg,dog,test").rows).toEqual(rows);
    expect(read("split,label,path\ntrain,cat,a.jpg\ntest,dog,b.jpg").rows).toEqual(rows);
  });

  it("says what it takes for a heading, and which column has the labels", () => {
    const { rows, notes } = read(`# made by hand\npath label\n${spaced}`);
    expect(rows).toEqual(three);
    expect(notes).toEqual(["line 2 names no image and is taken for a heading: path label"]);
    expect(read(`image,breed\n${commas}`).notes).toEqual(["labels are taken from the column breed"]);
    const { rows: paths, notes: which } = read("image,breed,age\na.jpg,pug,3\nb.jpg,pug,4\n");
    expect(paths).toEqual([["a.jpg"], ["b.jpg"]]);
    expect(which).toEqual([
      "none of the columns breed, age is called label, so none is used; say which one is with --label-column",
    ]);
  });

  it("has the columns that are asked for, by name or number", () => {
    const text = "id,image,breed,age\n1,a.jpg,pug,3\n2,b.jpg,dax,4\n";
    for (const label of ["breed", "Breed", "3"])
      expect(read(text, { label }).rows).toEqual([
        ["a.jpg", "pug"],
        ["b.jpg", "dax"],
      ]);
    expect(read("id,breed\n00a,pug\n00b,dax\n", { image: "id" }, "x.csv").rows).toEqual([
      ["00a", "pug"],
      ["00b", "dax"],
    ]);
    expect(() => read(text, { label: "kind" })).toThrow(
      "x.txt has no column kind; its columns are id, image, breed, age: change --label-column",
    );
    expect(() => read("a.jpg 1\n", { label: "2" })).toThrow(
      "x.txt is no table, so it has no column 2; leave out --label-column",
    );
  });

  it.each<[string, string | Uint8Array, RegExp, string?]>([
    ["a picture", Buffer.from("\x89PNG\r\n\x1a\n\0\0", "latin1"), /^x\.txt is no text file: its byte 9 is 0$/],
    [
      "no column of paths",
      "id,breed\n00a,pug\n",
      /^x\.csv has no column of paths of images .*columns are id, breed: say which one with --image-column$/,
      "x.csv",
    ],
    [
      "an open quote",
      'path,label\na.jpg,cat\nb.jpg,"dog\nc.jpg,cat\n',
      /^x\.txt has a quote in line 3 that is never closed$/,
    ],
    [
      "a comma too many",
      "path,label\na.jpg,cat\nb,c.jpg,cat\n",
      /^x\.txt has 3 columns in line 3, more than the 2 before; a path or label with , in it goes in quotes$/,
    ],
    [
      "a missing path",
      "path,label\na.jpg,cat\n,cat\n",
      /^x\.txt has no path in line 3, where column path should have one$/,
    ],
  ])("is refused with %s", (_, content, message, name = "x.txt") => {
    expect(() => read(content, {}, name)).toThrow(message);
  });

  it("says what is wrong with the file", async () => {
    const dir = temporaryFolder();
    const empty = join(dir, "empty.txt");
    writeFileSync(empty, "\r\n \n");
    await expect(readList(empty)).rejects.toThrow(/empty\.txt lists no image; it should have one a line/);
    await expect(readList(join(dir, "none.txt"))).rejects.toThrow(/^there is no file .*none\.txt/);
    await expect(readList(dir)).rejects.toThrow("is a folder; give a text file");
  });

  it("that is damaged is read or refused in a sentence", async () => {
    const { values, errors } = await fuzz({
      name: "list",
      originals: [
        spaced,
        `"a b.jpg","x, y"\n${commas}`,
        `id,image,label,split\n1,a.jpg,"c\nd",train\n2,b.jpg,e,test\n`,
        Buffer.from(`\uFEFF${spaced}`, "utf16le"),
        Buffer.from("\xe9.jpg 1\n", "latin1"),
      ].map((each) => Buffer.from(each)),
      count: fuzzCount(3000),
      read: async (bytes) => void [...parseList("x.txt", bytes).images],
    });
    expect(values).toBeGreaterThan(100);
    for (const [message] of errors) expect(message).toMatch(/^x\.txt (is|has|lists) /);
  });
});
