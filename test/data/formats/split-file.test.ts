import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { rowsOfSplitFile } from "../../../src/data/formats/split-file.ts";
import { temporaryFolder } from "../../run/temporary.ts";

const images = {
  ids: ["cat/1.JPEG", "cat/2.JPEG", "dog/1.JPEG", "dog/sub/3.JPEG", "emu/4.JPEG"],
  labels: [0, 0, 1, 1, 2],
  classes: ["cat", "dog", "emu"],
};

function rowsOf(text: string | Uint8Array, changes: Partial<typeof images> = {}): Promise<number[]> {
  const path = join(temporaryFolder(), "few.txt");
  writeFileSync(path, text);
  return rowsOfSplitFile(path, { ...images, ...changes });
}

describe("a split file", () => {
  it("finds images by their ids, with more folders in front or fewer", async () => {
    expect(await rowsOf("train/cat/2.JPEG 7\r\nsub/3.JPEG 3\r\nemu/4.JPEG 5")).toEqual([1, 3, 4]);
    const ids = images.ids.map((id) => `train/${id}`);
    expect(await rowsOf("emu/4.JPEG 0\ntrain/dog/1.JPEG 2\ncat/1.JPEG 1\ncat/1.JPEG 1", { ids })).toEqual([0, 2, 4]);
  });

  it("prefers the very id to a part of one", async () => {
    const ids = ["1.JPEG", "a/1.JPEG", "b/1.JPEG", "c.JPEG", "d.JPEG"];
    const labels = [0, 1, 1, 2, 2];
    expect(await rowsOf("1.JPEG cat\na/1.JPEG dog\nd.JPEG emu", { ids, labels })).toEqual([0, 1, 4]);
  });

  it("may be UTF-16, or a table", async () => {
    const text = "cat/1.JPEG,cat\r\ndog/1.JPEG,dog\r\nemu/4.JPEG,emu\r\n";
    expect(await rowsOf(Buffer.from(`\uFEFF${text}`, "utf16le"))).toEqual([0, 2, 4]);
    expect(await rowsOf(`file_name,label\n${text}`)).toEqual([0, 2, 4]);
  });

  it.each([
    ["cat/1.JPEG 0\n1.JPEG 1\n", ", line 2: 1.JPEG may be cat/1.JPEG or dog/1.JPEG; give more of its path"],
    ["cat/1.JPEG 0\n\ncat/2.JPEG\n", ", line 3 has no label after cat/2.JPEG"],
    [
      "cat/1.JPEG 0\ncat/9.JPEG 0\nax/1.JPEG 1",
      "few.txt lists are not among the 5 training images (those of validation and test do not count); the first: cat/9.JPEG",
    ],
    ["cat/9.JPEG 0", "1 of the 1 images that"],
    ["cat/1.JPEG 0\ndog/1.JPEG 1", " lists no image of the class emu; every class needs one to learn it from"],
    ["emu/4.JPEG 0", " lists no image of the class cat and of 1 more; every class needs one to learn it from"],
    [
      "cat/1.JPEG 0\ndog/1.JPEG 0",
      ", line 2 gives dog/1.JPEG, which is of the class dog, the label 0; before, 0 was the label of cat, and labels",
    ],
    [
      "cat/1.JPEG 0\ncat/2.JPEG 1",
      ", line 2 gives cat/2.JPEG, which is of the class cat, the label 1; before, images of this class were labelled 0,",
    ],
  ])("says what is wrong with %j", async (text, message) => {
    await expect(rowsOf(text)).rejects.toThrow(message);
  });
});
