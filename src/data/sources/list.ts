/** Images that a text file lists, one a line, with labels or without. */
import { dirname, resolve } from "node:path";
import * as z from "zod";
import { readList } from "../formats/image-list.ts";
import type { ListedImage } from "../formats/listed-image.ts";
import { shown } from "../../tensor/text.ts";
import { type Split, splitWords } from "../source.ts";
import { idOf, IndexBuilder, type IndexFacts, nameOf, stampOf } from "./image-index.ts";
import { imageFiles, rangeSpec, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { LabelNames } from "./label-names.ts";
import { checkNamed, readNamed } from "./named-files.ts";

const schema = z.strictObject({
  kind: z.literal("list"),
  path: z
    .string()
    .min(1)
    .describe("text file with an image a line: its path and, if it has one, its label; or a table"),
  root: z.string().min(1).optional().describe("folder that paths in the list start from; default: the list's own"),
  image: z.string().min(1).optional().describe("of a table: column of the paths, by its name or number from 1"),
  label: z.string().min(1).optional().describe("of a table: column of the labels, by its name or number from 1"),
  shortSide: shortSideSpec,
  range: rangeSpec,
  split: splitSpec.describe("of a list whose lines end in train, val or test; default: all images"),
});

const endings = /\.(txt|csv|tsv|lst)$/i;

/**
 * The images of a list, in its order. Labels are names or numbers; the classes are the different ones, sorted. One label
 * alone tells nothing apart, so it is none. No image is opened before it is asked for. The index holds until the list is
 * written.
 */
export const list: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: {
    help: ".txt or .csv list",
    recognise: ({ text, path }) =>
      endings.test(text) ? { clue: "file name", spec: { kind: "list", path } } : undefined,
  },
  key: ({ path, root, image, label }) => [resolve(path), root && resolve(root), image, label],

  /**
   * Throws when the list is missing or empty, when only some of its lines have a label, or a split, or when none of the
   * images that are looked for is there.
   */
  async build({ path, root, image, label }) {
    const stamp = await stampOf(resolve(path));
    const images = new IndexBuilder();
    const list = await readList(path, { image, label });
    const [labels, splits, lines]: [(string | undefined)[], (Split | undefined)[], number[]] = [[], [], []];
    let first: ListedImage | undefined;
    for (const each of list.images) {
      first ??= each;
      for (const what of ["label", "split"] as const)
        if ((each[what] === undefined) !== (first[what] === undefined) && !(list.isTable && what === "label"))
          throw new Error(
            `${path}, line ${each.line} has ${each[what] === undefined ? `no ${what}` : `the ${what} ${shown(each[what])}`}, ` +
              `unlike line ${first.line}; give a ${what} to all images or to none`,
          );
      images.add(each.bytes, {});
      labels.push(each.label);
      splits.push(each.split);
      lines.push(each.line);
    }
    if (first === undefined) throw new Error(`${path} lists no image, but a heading alone`);
    const where = (i: number) => `line ${lines[i]}`;
    await checkNamed(folderOf(path, root), { length: images.length, name: (i) => images.bytes(i), where }, path);
    const { notes, splitOf, ...facts } = meaningOf(labels, splits);
    return images.finish({ ...facts, splitOf, notes: [...list.notes, ...notes], dependencies: [stamp] });
  },

  open({ path, root, shortSide, range, split }, index) {
    const folder = folderOf(path, root);
    return openIndexed(index, {
      name: path,
      split,
      splitHelp: "a word after each label, one of train, val and test",
      load: (i, hint) => readNamed(folder, nameOf(index, i), idOf(index, i), { shortSide, range }, hint),
    });
  },
};

const folderOf = (path: string, root: string | undefined) => resolve(root ?? dirname(path));

/** Several numbers, as lists for detection or for several labels an image have them. */
const severalNumbers = /^[-+.\d]+(?:[ \t,;]+[-+.\d]+)+$/;

/** What stands behind the paths: a class each, or the split where nothing but splits stands there. */
function meaningOf(
  labels: readonly (string | undefined)[],
  splits: readonly (Split | undefined)[],
): Pick<IndexFacts, "classes" | "labelOf" | "splitOf"> & { notes: readonly string[] } {
  const different = new Set(labels);
  const words = new Set([...different].map((label) => splitWords.get(label?.toLowerCase())));
  if (words.size > 1 && words.has("train") && !words.has(undefined))
    return { splitOf: (i) => splitWords.get(labels[i]!.toLowerCase())!, notes: [] };
  const splitOf = splits[0] === undefined ? undefined : (i: number) => splits[i]!;
  const several = [...different].find((label) => label !== undefined && severalNumbers.test(label));
  if (several !== undefined) {
    const note = `labels are not used, as there are several numbers for an image (${shown(several)}): a class is one word or number`;
    return { splitOf, notes: [note] };
  }
  const names = new LabelNames();
  for (const label of labels) names.push(label);
  const missing = labels.reduce((sum, label) => sum + (label === undefined ? 1 : 0), 0);
  const notes =
    missing === 0 || missing === labels.length
      ? []
      : [`${missing.toLocaleString("en")} of ${labels.length.toLocaleString("en")} images have no label`];
  return { ...names.facts(), splitOf, notes };
}
