/** Images that a text file lists, one a line, with labels or without. */
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { readImage } from "../formats/decode.ts";
import { idOf, IndexBuilder, stampOf } from "./image-index.ts";
import { imageFiles, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { LabelNames } from "./label-names.ts";
import type { Split } from "../source.ts";
import { type ListedImage, readList } from "../formats/image-list.ts";

const schema = z.strictObject({
  kind: z.literal("list"),
  path: z.string().min(1).describe("text file with an image a line: its path and, if it has one, its label"),
  root: z.string().min(1).optional().describe("folder that paths in the list start from; default: the list's own"),
  shortSide: shortSideSpec,
  split: splitSpec.describe("of a list whose lines end in train, val or test; default: all images"),
});

/**
 * The images of a list, in its order. Labels are names or numbers; the classes are the different ones, sorted. One label
 * alone tells nothing apart, so it is none. No image is opened before it is asked for. The index holds until the list is
 * written.
 */
export const list: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: {
    help: ".txt list",
    recognise: ({ text, path }) =>
      text.endsWith(".txt") ? { clue: "file name", spec: { kind: "list", path } } : undefined,
  },
  key: ({ path }) => [resolve(path)],

  /** Throws when the list is missing or empty, or when only some of its lines have a label, or a split. */
  async build({ path }) {
    const stamp = await stampOf(resolve(path));
    const images = new IndexBuilder();
    const labels = new LabelNames();
    const splits: Split[] = [];
    let first: ListedImage | undefined;
    for (const image of await readList(path)) {
      first ??= image;
      for (const what of ["label", "split"] as const)
        if ((image[what] === undefined) !== (first[what] === undefined))
          throw new Error(
            `${path}, line ${image.line} has ${image[what] === undefined ? `no ${what}` : `the ${what} ${image[what]}`}, ` +
              `unlike line ${first.line}; give a ${what} to all images or to none`,
          );
      const { label, split } = image;
      images.add(image.path, {});
      labels.push(label);
      if (split !== undefined) splits.push(split);
    }
    return images.finish({
      ...labels.facts(),
      splitOf: splits.length === 0 ? undefined : (i) => splits[i]!,
      dependencies: [stamp],
    });
  },

  open({ path, root, shortSide, split }, index) {
    const folder = resolve(root ?? dirname(path));
    return openIndexed(index, {
      name: path,
      split,
      splitHelp: "a word after each label, one of train, val and test",
      load: (i, hint) => readImage(resolve(folder, idOf(index, i)), idOf(index, i), shortSide, hint),
    });
  },
};
