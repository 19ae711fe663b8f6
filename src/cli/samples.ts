/** What a few of the images say of their samples: what of them is not shown, and whether they come out dark. */
import { statSync } from "node:fs";
import type { SampleRange } from "../data/formats/decode.ts";
import type { Source } from "../data/source.ts";
import { checkpointSetup } from "../evaluators/encoder.ts";
import { listCheckpoints } from "../run/checkpoint.ts";

/** Images looked at, and of these those that decide whether the others are. */
const looked = 16;
const first = 4;

/** Below this a picture of 16 bits leaves half of what it could say unused. */
const dark = 128;

/** The range that the encoder of a run or checkpoint was trained with. */
export function keptRange(path: string): SampleRange | undefined {
  const isFile = statSync(path, { throwIfNoEntry: false })?.isFile() ?? false;
  const checkpoint = isFile ? path : listCheckpoints(path).at(-1)?.path;
  return checkpoint === undefined ? undefined : checkpointSetup(checkpoint).range;
}

/**
 * A sentence for each thing that is as one may not expect it; `asked`: the range was said just now. Images that cannot be
 * read say nothing.
 */
export async function sampleNotes(source: Source, range: SampleRange | undefined, asked: boolean): Promise<string[]> {
  const count = Math.min(looked, source.length);
  let [seen, deep, spare, paged] = [0, 0, 0, 0];
  let [brightest, bands, pages] = [0, 0, 0];
  for (let k = 0; k < count; k++) {
    if (k >= first && deep + spare + paged === 0) break;
    // the first of every sixteenth; the last of them come first, so that four are drawn from everywhere
    const row = Math.floor((((k * 5) % looked) % count) * (source.length / count));
    const pixels = await source.load(row).catch(() => undefined);
    if (pixels === undefined) continue;
    seen++;
    const { bits = 8, spare: more = 0, pages: all = 1 } = pixels.samples ?? {};
    if (bits > 8) {
      deep++;
      for (const value of pixels.data) if (value > brightest) brightest = value;
    }
    if (more > 0) [spare, bands] = [spare + 1, Math.max(bands, more)];
    if (all > 1) [paged, pages] = [paged + 1, Math.max(pages, all)];
  }
  const of = (number: number) => `${number} of ${seen} images looked at`;
  const notes: string[] = [];
  if (deep > 0 && brightest < dark) notes.push(darkness(of(deep), brightest, range));
  if (asked && seen > 0 && deep === 0)
    notes.push(`--range is for images of more than 8 bits a channel, which none of ${seen} looked at has`);
  if (spare > 0)
    notes.push(
      `${of(spare)} have ${bands === 1 ? "a band" : `up to ${bands} bands`} beside their colours that they do not declare as transparency, ` +
        "such as near infrared: left out",
    );
  if (paged > 0) notes.push(`${of(paged)} have up to ${pages} pages: the first of each is the image`);
  return notes;
}

function darkness(images: string, brightest: number, range: SampleRange | undefined): string {
  const found = `${images} have more than 8 bits, and the brightest value found in them is ${brightest} of 255`;
  if (range !== undefined) return `${found}: --range ${range.join(",")} is wider than they need`;
  const bits = Math.max(9, Math.ceil(Math.log2((brightest + 1) * 256)));
  return (
    `${found}, nearly black: if their white is ${2 ** bits - 1} (${bits} bits in 16), say --range 0,${2 ** bits - 1}; ` +
    "pretrain, evaluate and embed take it, and a run keeps it"
  );
}
