/** How a command takes images: a word, a path or a pattern of paths. */
import type { Source } from "../data/source.ts";
import type { SampleRange } from "../data/formats/decode.ts";
import { kinds } from "../data/sources/kinds.ts";
import { kindOf, openSource, type SourceInput } from "../data/sources/open.ts";
import { inRange, rangeOf } from "../data/sources/range.ts";
import { recognise } from "../data/sources/recognise.ts";
import { splitNotes } from "../evaluators/divide.ts";
import { inAllSplits } from "../measure/questions.ts";
import { sampleNotes } from "./samples.ts";
import { shown } from "../tensor/text.ts";
import { applyImageOptions, type ImageOptions } from "./image-options.ts";
import type { Output } from "./progress.ts";

const helps = kinds.flatMap(({ argument }) => (argument === undefined ? [] : [argument.help]));

export const imagesHelp =
  `${helps.slice(0, -1).join(", ")}, or ${helps.at(-1)}; ` +
  "of files with many images one, a folder of them or a pattern";

/** What is said of images, and how they are said. */
export interface SaidImages extends ImageOptions {
  /** Said behind the number of classes. */
  readonly classesAre?: string;
  /** What the encoder that they are for was trained with, unless `range` says another. */
  readonly keptRange?: SampleRange | undefined;
}

/**
 * The source that `images` means, for training, and in a few lines what is there and what is not read. Of a source with
 * splits it is the training split; an evaluation finds the others by itself.
 */
export async function sourceAt(
  images: string,
  output: Pick<Output, "say">,
  options: SaidImages = {},
): Promise<SourceInput> {
  const spec = inRange(applyImageOptions(await recognise(images), images, options), options.keptRange);
  const { splits } = kindOf(spec);
  const all = await openSource(inAllSplits(spec));
  const read =
    kindOf(spec).reduced === undefined ? [] : await sampleNotes(all, rangeOf(spec), options.range !== undefined);
  const data = splits?.training === undefined || all.split === undefined ? spec : splits.training(spec);
  for (const line of describeSource(all, images, options)) output.say(line);
  for (const note of read) output.say(`  ${note}`);
  return data;
}

/** What is there, in a line, and what is not read, a line each. */
function describeSource(all: Source, name: string, { classesAre }: SaidImages): string[] {
  const { length, classes, split } = all;
  const notes = [...(all.notes ?? []), ...splitNotes(all)];
  const counts = { train: 0, validation: 0, test: 0 };
  for (let i = 0; i < length; i++) counts[split?.(i) ?? "train"]++;
  const { train, validation, test } = counts;
  const number = (count: number) => count.toLocaleString("en");
  const beside = [
    ...(validation > 0 ? [`${number(validation)} for validation`] : []),
    ...(test > 0 ? [`${number(test)} for test`] : []),
  ];
  const images = `${number(train)} ${beside.length > 0 ? "training " : ""}image${train === 1 ? "" : "s"}`;
  const others = beside.length > 0 ? ` (and ${beside.join(", ")})` : "";
  return [`${images} in ${name}${others}${describeClasses(classes, classesAre)}`, ...notes.map((note) => `  ${note}`)];
}

const mostNamed = 5;

function describeClasses(classes: readonly string[], classesAre: string | undefined): string {
  if (classes.length === 0) return ", no classes";
  const named = classes.length > mostNamed ? [...classes.slice(0, mostNamed - 1), "…"] : classes;
  const note = classesAre === undefined ? "" : ` (${classesAre})`;
  return `, ${classes.length} classes${note}: ${named.map(shown).join(", ")}`;
}
