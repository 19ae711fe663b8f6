import { beforeAll, describe, expect, it } from "vitest";
import { type EmojiSource, openEmoji, emojiSpec } from "../../../src/data/sources/emoji/source.ts";
import { drawingsOf } from "../../../src/data/sources/emoji/drawings.ts";
import { type Concepts, readConcepts } from "../../../src/data/sources/emoji/concepts.ts";
import { readInstalled } from "../../../src/data/sources/emoji/installed.ts";

const open = (changes: object) => openEmoji(emojiSpec.parse({ kind: "emoji", size: 16, ...changes }));

describe("concepts", () => {
  let table: Concepts;
  beforeAll(async () => {
    table = await readConcepts();
  });
  const nameOf = (hexcode: string) => table.concepts[table.conceptOf(hexcode) ?? -1]?.name;

  it.each([
    ["1F44B-1F3FD", "waving hand"], // a skin tone
    ["1F468-200D-1F33E", "farmer"], // man farmer
    ["1F469-1F3FB-200D-1F33E", "farmer"],
    ["1F645-200D-2640-FE0F", "person gesturing NO"],
    ["1F3C3-200D-2642-FE0F-200D-27A1-FE0F", "person running: facing right"],
    ["1FAF1-1F3FF-200D-1FAF2-1F3FB", "handshake"], // two tones: two hands
    ["1F468-200D-2764-FE0F-200D-1F468", "couple with heart"],
    ["1F46D", "people holding hands"],
    ["1F468-200D-1F469-200D-1F466", "family: adult, adult, child"],
    ["1F478", "person with crown"],
    ["1F1F9-1F1F7", "flag: Türkiye"],
    ["1F3FB", undefined], // a skin tone alone
  ])("%s is %s", (hexcode, name) => {
    expect(nameOf(hexcode)).toBe(name);
  });

  it("find emojione's drawings by name", async () => {
    const drawings = await drawingsOf("emojione", table);
    const iconOf = (name: string) => drawings.find(({ concept }) => table.concepts[concept]!.name === name)?.icon;
    expect(iconOf("turkey")).toBe("turkey");
    expect(iconOf("flag: Türkiye")).toBe("flag-for-turkey");
    expect(iconOf("A button (blood type)")).toBe("a-button");
    expect(iconOf("keycap: 3")).toBe("keycap-3");
    expect(iconOf("black flag")).toBe("flag-for-black-flag");
    expect(drawings.length).toBeGreaterThan(1300);
  });
});

describe("emoji", () => {
  let two: EmojiSource;
  beforeAll(async () => {
    two = await open({ styles: ["emojione", "fluent-emoji-flat"] });
  });

  it("has one drawing per style and concept, with a label tree", () => {
    expect(new Set(two.drawings.map(({ style, concept }) => `${style} ${concept}`)).size).toBe(two.length);
    expect(two.groups.length).toBe(9);
    expect(two.subgroups.length).toBe(98);
    expect(two.id(0)).toBe("fluent-emoji-flat/1f600 grinning face");
    expect(two.classes[two.label(0)]).toBe("face-smiling");
    expect(two.groups[two.drawings[0]!.group]).toBe("smileys-emotion");
  });

  it("renders drawings on white", async () => {
    const { width, height, data } = await two.load(0);
    expect([width, height, data.length]).toEqual([16, 16, 768]);
    expect([...data.subarray(0, 3)]).toEqual([255, 255, 255]);
    const forehead = (3 * 16 + 8) * 3;
    expect(data[forehead]! - data[forehead + 2]!).toBeGreaterThan(80); // a yellow face
  });

  it("splits by concept, the same for every style, and numbers classes alike", async () => {
    const parts = await Promise.all(
      ["train", "validation", "test"].map((split) =>
        open({ styles: ["emojione", "fluent-emoji-flat"], split, label: "concept" }),
      ),
    );
    const concepts = parts.map((part) => new Set(part.drawings.map(({ concept }) => concept)));
    const all = new Set(concepts.flatMap((part) => [...part]));
    expect(all.size).toBe(concepts.reduce((sum, part) => sum + part.size, 0));
    expect(parts.reduce((sum, part) => sum + part.length, 0)).toBe(two.length);
    expect(parts[0]!.length / two.length).toBeCloseTo(0.7, 1);
    expect(parts[2]!.length / two.length).toBeCloseTo(0.2, 1);
    for (const part of parts) expect(part.classes).toEqual(two.concepts);
  });

  it("says what to install when a package is missing", async () => {
    await expect(readInstalled("@iconify-json/none-such/chars.json")).rejects.toThrow(
      /needs? the package @iconify-json\/none-such, which is not installed: npm install @iconify-json\/twemoji /,
    );
  });
});
