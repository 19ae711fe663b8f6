/**
 * Images in tar archives, packed plainly or as WebDataset packs them in shards: neighbours of one name up to its first dot
 * are a sample, such as `0001.jpg`, `0001.cls` and `0001.json`. A label that lies apart, in an archive that is sorted by
 * endings, is found by its name. Nothing is unpacked.
 */
import { readFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import * as z from "zod";
import { archiveArgument, archivesAt, archiveSplitHelp, packedFacts } from "./archive.ts";
import { readImage } from "../formats/decode.ts";
import { imageExtensions, isImageName } from "../formats/image-format.ts";
import { isHidden, Passed } from "./passed.ts";
import { idOf, IndexBuilder, stampOf } from "./image-index.ts";
import { imageFiles, rangeSpec, shortSideSpec, splitSpec } from "./image-files.ts";
import { openIndexed } from "./indexed.ts";
import type { IndexedKind } from "./kind.ts";
import { LabelNames } from "./label-names.ts";
import { type Bytes, forwards, readPart, withFile } from "../formats/positioned.ts";
import { shown } from "../../tensor/text.ts";
import { type Member, members } from "../formats/tar-members.ts";

const schema = z.strictObject({
  kind: z.literal("tar"),
  path: z.string().min(1).describe("a .tar file, a folder of them, or a pattern such as shards/train-{0000..0146}.tar"),
  jsonLabel: z
    .string()
    .min(1)
    .optional()
    .describe("field of a sample's .json that has its class; default: its .cls file, else the folder it was packed in"),
  shortSide: shortSideSpec,
  range: rangeSpec,
  split: splitSpec.describe(`of folders in the archive, or of ${archiveSplitHelp}; default: all images`),
});

/**
 * The images of the archives, in the order of their paths and then as they were packed; samples without an image, links
 * and names that begin with a dot are left out. A `classes.txt` beside the first archive, with a name a line, says what
 * classes are called whose labels are numbers.
 */
export const tar: IndexedKind<typeof schema> = {
  schema,
  ...imageFiles,
  argument: archiveArgument("tar"),
  key: ({ path, jsonLabel }) => [resolve(path), jsonLabel],

  /** Throws when there is no archive or no image, or when one is damaged. */
  async build({ path, jsonLabel }) {
    const archives = await archivesAt(path, ".tar");
    const { files, names, prefixes } = archives;
    const images = new IndexBuilder("file", "offset", "size");
    const labels = new LabelNames();
    const passed = new Passed({ isPacked: true });
    let alone = 0;
    for (const [f, file] of files.entries())
      await withFile(file, names[f]!, async (bytes) => {
        const whole: Sample[] = [];
        const apart = new Apart();
        for await (const sample of samples(bytes, jsonLabel, passed))
          if (sample.pictures.length > 0) whole.push(sample);
          else apart.add(sample);
        for (const { label, pictures } of apart.join(whole))
          for (const { name, offset, size } of pictures) {
            images.add(`${prefixes[f]}${name}`, { file: f, offset, size });
            labels.push(label);
          }
        alone += apart.left(whole, passed);
      });
    if (images.length === 0) throw new Error(`no image in ${path}: ${passed.instead()}`);
    if (jsonLabel !== undefined && labels.size === 0)
      throw new Error(`no image in ${path} has a .json beside it with a field ${jsonLabel}; leave out jsonLabel`);

    const list = join(dirname(files[0]!), "classes.txt");
    const listStamp = await stampOf(list);
    const known =
      listStamp.state === "none" ? undefined : (await readFile(list, "utf8")).split(/\r?\n/).filter(Boolean);
    const unknown = (label: string) =>
      new Error(`${path} has the label ${shown(label)}, which is none of the ${known!.length} classes in ${list}`);
    const { notes, ...facts } = packedFacts(images, archives, passed);
    return images.finish({
      ...facts,
      notes: [
        ...(alone === 0
          ? []
          : [alone === 1 ? "1 label belongs to no image" : `${alone.toLocaleString("en")} labels belong to no image`]),
        ...notes,
      ],
      ...(labels.size === 0 ? {} : labels.facts(known, unknown)),
      dependencies: [...archives.dependencies, listStamp],
    });
  },

  open({ path, shortSide, range, split }, index) {
    const { file, offset, size } = index.places;
    return openIndexed(index, {
      name: path,
      split,
      splitHelp: `folders named train and test (or val) in it, or ${archiveSplitHelp}`,
      load: (i, hint) =>
        readImage(
          readPart(index.files[file![i]!]!, offset![i]!, size![i]!),
          idOf(index, i),
          { shortSide, range },
          hint,
        ),
    });
  },
};

interface Sample {
  key: string;
  /** Of `0001.jpg` and `0001.mask.png` the first, if other files show that they are one sample; else both. */
  pictures: readonly Member[];
  label: string | undefined;
  /** What else it has. */
  others: readonly string[];
}

/** What lies apart from its image, in an archive that is sorted by endings; joined by its name up to the first dot. */
class Apart {
  readonly #labels = new Map<string, string | undefined>(); // undefined: there is none, or several
  readonly #others: Sample[] = [];

  add(sample: Sample): void {
    if (sample.others.length === 0) return;
    const { key, label } = sample;
    const known = this.#labels.get(key);
    this.#labels.set(key, known === undefined || label === undefined ? (known ?? label) : undefined);
    this.#others.push(sample);
  }

  /** The samples with their labels, and without the pictures that are no images of theirs. */
  join(samples: readonly Sample[]): readonly Sample[] {
    if (this.#others.length === 0) return samples;
    const plain = new Set(samples.flatMap(({ key, pictures }) => (pictures.some(isPlain) ? key : [])));
    return samples.map(({ key, label, pictures, others }) => {
      const isOurs = plain.has(key) && this.#labels.has(key);
      return {
        key,
        label: label ?? this.#labels.get(key),
        pictures: isOurs ? pictures.filter(isPlain) : pictures,
        others,
      };
    });
  }

  /** How many labels belong to no image; `passed` hears of other files that do not. */
  left(samples: readonly Sample[], passed: Passed): number {
    const keys = new Set(samples.map(({ key }) => key));
    const strange = this.#others.filter(({ key }) => !keys.has(key));
    for (const { label, others } of strange) if (label === undefined) for (const name of others) passed.member(name);
    return strange.filter(({ label }) => label !== undefined).length;
  }
}

/** Whether a picture is called as its sample: `0001.jpg`, not `0001.mask.png`. */
function isPlain({ name }: Member): boolean {
  return imageExtensions.includes(partsOf(name).ending);
}

const mostLabelBytes = 2 ** 20;

async function* samples(file: Bytes, jsonLabel: string | undefined, passed: Passed): AsyncGenerator<Sample> {
  const read = forwards(file);
  let [key, label] = ["", undefined as string | undefined];
  let [pictures, others]: [Member[], string[]] = [[], []];
  let endings = new Set<string>(); // one that comes twice begins another sample

  function sample(): Sample {
    const plain = pictures.filter(isPlain);
    return { key, label, others, pictures: others.length > 0 && plain.length > 0 ? plain : pictures };
  }

  const atEnd = (bytes: number) =>
    passed.trailing(`${file.name}: ${bytes.toLocaleString("en")} bytes after its end, which are no tar archive`);
  for await (const member of members(file, read, atEnd)) {
    const { name, offset, size } = member;
    if (isHidden(name)) {
      passed.member(name);
      continue;
    }
    const parts = partsOf(name);
    if (parts.key !== key || endings.has(parts.ending)) {
      yield sample();
      [key, label, pictures, others] = [parts.key, undefined, [], []];
      endings = new Set();
    }
    endings.add(parts.ending);
    if (isImageName(name)) pictures.push(member);
    else others.push(name);
    if (parts.ending === (jsonLabel === undefined ? ".cls" : ".json")) {
      if (size > mostLabelBytes) throw new Error(`${file.name} has a label of ${size} bytes, ${shown(name)}`);
      const text = (await read(offset, size)).toString().trim();
      label = jsonLabel === undefined ? text || undefined : fieldOf(text, jsonLabel, `${file.name}/${name}`);
    }
  }
  yield sample();
}

/** `a/b` and `.seg.png` of `a/b.seg.png`. */
function partsOf(name: string): { key: string; ending: string } {
  const dot = name.indexOf(".", name.lastIndexOf("/") + 1);
  return dot === -1 ? { key: name, ending: "" } : { key: name.slice(0, dot), ending: name.slice(dot).toLowerCase() };
}

function fieldOf(json: string, field: string, name: string): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch (error) {
    throw new Error(`${shown(name)} is no JSON: ${shown((error as Error).message)}`, { cause: error });
  }
  const found = (value as Record<string, unknown> | null)?.[field];
  return typeof found === "string" || typeof found === "number" ? String(found) : undefined;
}
