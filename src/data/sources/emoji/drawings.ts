/** Which drawing of a style shows which concept: one each. */
import { type Concepts, withoutTone } from "./concepts.ts";
import { readInstalled, type Style } from "./installed.ts";

export interface StyleDrawing {
  /** Name in the icon set: `grinning-face`. */
  readonly icon: string;
  readonly concept: number;
}

/**
 * The drawings of `style`, ordered by concept. Of several for one concept (tones, genders) the one whose code points
 * are the concept's own is taken, else the one without a tone, else the first by code points.
 */
export async function drawingsOf(style: Style, { concepts, conceptOf, hexcodeOf }: Concepts): Promise<StyleDrawing[]> {
  const icons = style === "emojione" ? await namedIcons(hexcodeOf) : await coded(style);
  const best = new Map<number, { icon: string; rank: string }>();
  for (const [hexcode, icon] of icons) {
    const concept = conceptOf(hexcode);
    if (concept === undefined) continue;
    const own = hexcode === concepts[concept]!.hexcode;
    const rank = `${own ? 0 : withoutTone(hexcode) === hexcode ? 1 : 2} ${hexcode} ${icon}`;
    const other = best.get(concept);
    if (other === undefined || rank < other.rank) best.set(concept, { icon, rank });
  }
  return [...best].map(([concept, { icon }]) => ({ icon, concept })).sort((a, b) => a.concept - b.concept);
}

async function coded(style: Style): Promise<[string, string][]> {
  return Object.entries((await readInstalled(`@iconify-json/${style}/chars.json`)) as Record<string, string>);
}

/** emojione comes without code points: its icons are found by name, under which some are aliases of others. */
async function namedIcons(hexcodeOf: Concepts["hexcodeOf"]): Promise<[string, string][]> {
  const set = (await readInstalled("@iconify-json/emojione/icons.json")) as {
    icons: Record<string, unknown>;
    aliases: Record<string, { parent: string }>;
  };
  const names = new Map(Object.keys(set.icons).map((icon) => [icon, [icon]]));
  for (const [alias, { parent }] of Object.entries(set.aliases)) names.get(parent)?.push(alias);
  return [...names].flatMap(([icon, all]) => {
    if (icon.endsWith("skin-tone")) return [];
    const found = all
      .flatMap(spellings)
      .map(hexcodeOf)
      .find((hexcode) => hexcode !== undefined);
    return found === undefined ? [] : [[found, icon] satisfies [string, string]];
  });
}

/** Icons whose names are in no table. */
const renamed = new Map(
  Object.entries({
    "exclamation-mark": "red-exclamation-mark",
    "flag-for-turkey": "flag-turkiye",
    "heavy-heart-exclamation": "heart-exclamation",
    "keycap-pound": "keycap-hash",
    "smiling-cat-face-with-heart-eyes": "smiling-cat-with-heart-eyes",
    "up-text-button": "up-button",
  }),
);

/** `flag-for-black-flag` is the black flag, `flag-for-albania` the flag of Albania. */
function spellings(name: string): string[] {
  const flag = name.replace(/^flag-for-(flag-)?/, "");
  const today = renamed.get(name);
  if (today !== undefined) return [today];
  if (flag === name) return [name];
  return /flags?$/.test(flag) ? [flag] : [`flag-${flag}`];
}
