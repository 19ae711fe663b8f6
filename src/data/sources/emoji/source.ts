/**
 * The default data: openly licensed emoji drawings, one per style and concept, labelled by Unicode's table.
 * Skin tones and genders of a person are one concept; flags are kept; parts of emoji (tones, hair, letters) are not.
 */
import * as z from "zod";
import { fold, key, Random } from "../../../tensor/random.ts";
import type { Source } from "../../source.ts";
import { readConcepts } from "./concepts.ts";
import { drawingsOf } from "./drawings.ts";
import { type Style, styles } from "./installed.ts";
import { openRaster, type Raster } from "./raster.ts";

export const emojiSpec = z.strictObject({
  kind: z.literal("emoji"),
  size: z.int().min(8).max(1024).default(64).describe("side of the rendered drawings, in pixels"),
  styles: z
    .array(z.enum(styles))
    .min(1)
    .default([...styles])
    .describe("leave one out of training to test on it"),
  split: z.enum(["train", "validation", "test", "all"]).default("all").describe("70, 10 and 20 % of the concepts"),
  label: z.enum(["concept", "subgroup", "group"]).default("subgroup"),
});

export interface Drawing {
  readonly style: Style;
  /** Code points of the concept, in lower-case hexadecimal. */
  readonly hexcode: string;
  /** Unicode's name of the concept. */
  readonly name: string;
  /** Indices into all concepts, subgroups and groups: the same for every style and split. */
  readonly concept: number;
  readonly subgroup: number;
  readonly group: number;
}

export interface EmojiSource extends Source {
  readonly drawings: readonly Drawing[];
  readonly concepts: readonly string[];
  readonly subgroups: readonly string[];
  readonly groups: readonly string[];
}

/** Drawings ordered by concept, then by style. The first time on a machine they are rendered, in some ten seconds. */
export async function openEmoji(spec: z.infer<typeof emojiSpec>): Promise<EmojiSource> {
  const unicode = await readConcepts();
  const wanted = styles.filter((style) => spec.styles.includes(style));
  const rasters = new Map<Style, Raster>();
  const entries: { drawing: Drawing; position: number }[] = [];
  for (const style of wanted) {
    const drawings = await drawingsOf(style, unicode);
    const icons = drawings.map(({ icon }) => icon);
    rasters.set(style, await openRaster(style, icons, spec.size));
    for (const [position, { concept }] of drawings.entries()) {
      const about = unicode.concepts[concept]!;
      if (spec.split === "all" || splitOf(about.hexcode) === spec.split)
        entries.push({ drawing: { style, concept, ...about }, position });
    }
  }
  entries.sort((a, b) => a.drawing.concept - b.drawing.concept); // stable: styles stay in order

  const drawings = entries.map(({ drawing }) => drawing);
  const concepts = unicode.concepts.map(({ name }) => name);
  const { subgroups, groups } = unicode;
  return {
    name: "emoji",
    length: drawings.length,
    classes: { concept: concepts, subgroup: subgroups, group: groups }[spec.label],
    id: (i) => `${drawings[i]!.style}/${drawings[i]!.hexcode} ${drawings[i]!.name}`,
    label: (i) => drawings[i]![spec.label],
    split: (i) => splitOf(drawings[i]!.hexcode),
    async load(i) {
      const { drawing, position } = entries[i]!;
      const data = await rasters.get(drawing.style)!.read(position);
      return { width: spec.size, height: spec.size, data };
    },
    drawings,
    concepts,
    subgroups,
    groups,
  };
}

/** Splits go by concept, so that no concept stands on both sides. Fixed for ever: reports must be comparable. */
function splitOf(hexcode: string): "train" | "validation" | "test" {
  const draw = new Random(fold(key(0), "emoji split", hexcode)).uniform();
  return draw < 0.7 ? "train" : draw < 0.8 ? "validation" : "test";
}
