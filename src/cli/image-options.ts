/** What a command takes of images beside where they are: columns, and where paths start. */
import { resolve } from "node:path";
import { type Command, InvalidArgumentError } from "commander";
import type { SampleRange } from "../data/formats/decode.ts";
import { hasOption, type SourceInput } from "../data/sources/open.ts";
import type { Setting } from "./options.ts";

export interface ImageOptions {
  readonly imageColumn?: string;
  readonly labelColumn?: string;
  readonly root?: string;
  readonly range?: SampleRange;
}

/** The key in the description of a source that an option sets, and what the option is about. */
const imageOptions = {
  imageColumn: { flag: "--image-column", key: "image", of: "Parquet files and tables (.csv)" },
  labelColumn: { flag: "--label-column", key: "label", of: "Parquet files and tables (.csv)" },
  root: { flag: "--root", key: "root", of: "lists, tables and Parquet files of paths" },
  range: { flag: "--range", key: "range", of: "image files" },
} as const;
const imageOptionNames = Object.keys(imageOptions) as (keyof ImageOptions)[];

/** `command` with the options of images, in a group of their own behind those it has. */
export function withImageOptions(command: Command): Command {
  const { imageColumn, labelColumn, root, range } = imageOptions;
  return command
    .optionsGroup("Images:")
    .option(
      `${imageColumn.flag} <name>`,
      `of ${imageColumn.of}: the column of the images (default: told by what it holds)`,
    )
    .option(
      `${labelColumn.flag} <name>`,
      `of ${labelColumn.of}: the column of the classes (default: label, or as it is called)`,
    )
    .option(`${root.flag} <dir>`, `of ${root.of}: the folder that these start from (default: the file's own)`)
    .option(
      `${range.flag} <low,high>`,
      "values that are black and white in images of more than 8 bits (default: the run's, else 0,65535)",
      sampleRange,
    );
}

function sampleRange(text: string): SampleRange {
  const [black, white, ...more] = text.split(",").map((part) => (part.trim() === "" ? NaN : Number(part)));
  if (more.length > 0 || !Number.isFinite(black) || !Number.isFinite(white) || !(black! < white!))
    throw new InvalidArgumentError("expected two numbers, the first below the second, such as 0,4095.");
  return [black!, white!];
}

/** Throws one sentence when an option speaks of images that are not given, by the option `missing`. */
export function checkImageOptions(options: ImageOptions, missing: string): void {
  const given = imageOptionNames.find((name) => options[name] !== undefined);
  if (given !== undefined)
    throw new Error(`${imageOptions[given].flag} goes with ${missing}, the images; give that, too`);
}

/** The same options where they are settings of a recipe, such as `data.root=photos`: images are opened before it is set. */
export function imageSettings(settings: readonly Setting[] = []): ImageOptions {
  return Object.fromEntries(
    imageOptionNames.flatMap((name) => {
      const path = `data.${imageOptions[name].key}`;
      const found = settings.findLast((each) => each.path.join(".") === path);
      return found === undefined ? [] : [[name, name === "range" ? found.value : String(found.value)]];
    }),
  );
}

/** The description of the images with the options. Throws one sentence when one of them is not for such images. */
export function applyImageOptions(spec: SourceInput, images: string, options: ImageOptions): SourceInput {
  const changes = imageOptionNames.flatMap((name) => {
    const value = options[name];
    if (value === undefined) return [];
    const { flag, key, of } = imageOptions[name];
    if (!hasOption(spec, key)) throw new Error(`${flag} is for ${of}, and ${images} is none; leave it out`);
    return [[key, name === "root" ? resolve(String(value)) : value]];
  });
  return { ...spec, ...(Object.fromEntries(changes) as object) };
}
