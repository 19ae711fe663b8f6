/** What emoji show, from Unicode's table (emojibase-data): concepts, each in a subgroup and a group. */
import { readInstalled } from "./installed.ts";

export interface Concept {
  /** Code points in lower-case hexadecimal, without the presentation selector: `1f600`, `1f9d1-200d-1f33e`. */
  readonly hexcode: string;
  /** `grinning face`. */
  readonly name: string;
  readonly subgroup: number;
  readonly group: number;
}

export interface Concepts {
  /** In Unicode's order. */
  readonly concepts: readonly Concept[];
  readonly subgroups: readonly string[];
  readonly groups: readonly string[];
  /** The concept that an emoji shows: the same for all skin tones and genders. Undefined outside Unicode's table. */
  readonly conceptOf: (hexcode: string) => number | undefined;
  /** The code points of an emoji by a name it has or had in Unicode or CLDR, written `like-this`. */
  readonly hexcodeOf: (name: string) => string | undefined;
}

interface Entry {
  readonly label: string;
  readonly hexcode: string;
  readonly group?: number;
  readonly subgroup?: number;
  readonly order?: number;
  readonly skins?: readonly Entry[];
}

interface GroupTable {
  readonly groups: Record<string, string>;
  readonly subgroups: Record<string, string>;
}

/** Skin tones and hair styles: parts of emoji, not pictures of anything. */
const component = 2;

/** People by gender, and the form without one. Signs ♀ and ♂ after a joiner are dropped likewise. */
const neutral = new Map(
  Object.entries({
    "1f468": "1f9d1", // man
    "1f469": "1f9d1", // woman
    "1f466": "1f9d2", // boy
    "1f467": "1f9d2", // girl
    "1f474": "1f9d3", // old man
    "1f475": "1f9d3", // old woman
    "1f934": "1fac5", // prince
    "1f478": "1fac5", // princess
    "1f930": "1fac4", // pregnant woman
    "1fac3": "1fac4", // pregnant man
    "1f385": "1f9d1-200d-1f384", // Santa Claus
    "1f936": "1f9d1-200d-1f384", // Mrs. Claus
    "1f46b": "1f9d1-200d-1f91d-200d-1f9d1", // woman and man holding hands
    "1f46c": "1f9d1-200d-1f91d-200d-1f9d1", // men holding hands
    "1f46d": "1f9d1-200d-1f91d-200d-1f9d1", // women holding hands
  }),
);

/** `hexcode` without presentation selector and skin tone, in lower case. */
export function withoutTone(hexcode: string): string {
  return hexcode
    .toLowerCase()
    .split("-")
    .filter((part) => part !== "fe0f" && !/^1f3f[b-f]$/.test(part))
    .join("-");
}

function withoutGender(hexcode: string): string {
  return hexcode
    .replaceAll(/-200d-264[02]/g, "")
    .split("-")
    .map((part) => neutral.get(part) ?? part)
    .join("-");
}

export async function readConcepts(): Promise<Concepts> {
  const [entries, table, cldr, joypixels, unicode] = (await Promise.all(
    ["en/data", "meta/groups", "en/shortcodes/cldr", "en/shortcodes/joypixels", "meta/unicode-names"].map((file) =>
      readInstalled(`emojibase-data/${file}.json`),
    ),
  )) as [Entry[], GroupTable, ...Record<string, string | string[]>[]];

  const known = entries.filter(({ group }) => group !== undefined && group !== component);
  known.sort((a, b) => a.order! - b.order!);
  const all = new Set(known.map((entry) => withoutTone(entry.hexcode)));
  // Some toned forms are spelled differently: a handshake of two tones is two hands. `skins` tells.
  const spelling = new Map(
    known.flatMap((e) => (e.skins ?? []).map((s) => [withoutTone(s.hexcode), withoutTone(e.hexcode)])),
  );
  const canonical = (hexcode: string) => {
    const plain = withoutGender(withoutTone(hexcode));
    return [plain, spelling.get(plain), withoutTone(hexcode)].find((form) => form !== undefined && all.has(form));
  };

  const groups = numbering(known.map((e) => e.group!));
  const subgroups = numbering(known.map((e) => e.subgroup!));
  const heads = known.filter((e) => canonical(e.hexcode) === withoutTone(e.hexcode));
  const concepts = heads.map((e) => ({
    hexcode: withoutTone(e.hexcode),
    name: e.label,
    subgroup: subgroups.indexOf(e.subgroup!),
    group: groups.indexOf(e.group!),
  }));
  const index = new Map(concepts.map(({ hexcode }, i) => [hexcode, i]));

  // The earliest entry of a name wins: today's label, then shortcodes, then the names of code points.
  const names = new Map<string, string>();
  const name = (text: string, hexcode: string) => names.has(slug(text)) || names.set(slug(text), withoutTone(hexcode));
  for (const e of known) name(e.label, e.hexcode);
  for (const e of known) name(e.label.replace(/\(.*\)/, ""), e.hexcode);
  for (const list of [cldr, joypixels, unicode])
    for (const [hexcode, texts] of Object.entries(list!)) for (const text of [texts].flat()) name(text, hexcode);

  return {
    concepts,
    groups: groups.map((n) => table.groups[n]!),
    subgroups: subgroups.map((n) => table.subgroups[n]!),
    conceptOf: (hexcode) => index.get(canonical(hexcode) ?? ""),
    hexcodeOf: (text) => names.get(text),
  };
}

function numbering(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}

/** `flag: Côte d’Ivoire` → `flag-cote-divoire`, as icon names are made. */
function slug(text: string): string {
  return text
    .normalize("NFD")
    .toLowerCase()
    .replaceAll("#", "hash")
    .replaceAll("*", "asterisk")
    .replaceAll("&", " and ")
    .replaceAll(/[\u0300-\u036F’'“”".!()]/g, "")
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replaceAll(/^-|-$/g, "");
}
