import { describe, expect, it } from "vitest";
import { printable, printableJson, printableLines, shown } from "../../src/tensor/text.ts";

describe("what a stranger's name does to a terminal", () => {
  it.each([
    ["\x1b[2Jclear.jpg", "\\x1b[2Jclear.jpg"],
    ["\x9b31mred.jpg", "\\x9b31mred.jpg"],
    ["a\nb\tc\r.jpg", "a\\nb\\tc\\r.jpg"],
    ["\0\x07\x7f", "\\x00\\x07\\x7f"],
    ["\u202egpj.exe", "\\u202egpj.exe"],
    ["\u2066left\u2069", "\\u2066left\\u2069"],
    ["\u2028line\u2029", "\\u2028line\\u2029"],
    ["\ufeffcat", "\\ufeffcat"],
    ["soft\u00adhyphen", "soft\\xadhyphen"],
    ["half \ud83d", "half \\ud83d"],
    ["tag \u{e0041}", "tag \\u{e0041}"],
  ])("%j is shown as %s", (name, text) => {
    expect(printable(name)).toBe(text);
  });

  it.each([
    "photo 1.jpg",
    "C:\\photos\\1.jpg",
    "Häuser/Ärger.jpg",
    "e\u0301.jpg",
    "猫.png",
    "قطة",
    "🐱",
    "👨\u200d👩\u200d👧",
    "नमस्\u200dते",
  ])("%s stays as it is", (name) => {
    expect(printable(name)).toBe(name);
  });

  it("keeps the lines of a text", () => {
    expect(printableLines("one\n\x1b[1mtwo\n")).toBe("one\n\\x1b[1mtwo\n");
  });

  it("is the same value in JSON", () => {
    const value = { name: "\x1b[2J \x7f \x9b \u202e \u{e0041} \ud83d 🐱 \n" };
    const text = printableJson(value);
    expect(JSON.parse(text)).toEqual(value);
    expect(printable(text)).toBe(text);
    expect(text).toContain("🐱");
  });

  it("leaves out the end of a long text, and never half a character", () => {
    expect(shown("\x1b".repeat(1e6))).toHaveLength(101);
    expect(shown("x".repeat(100))).toHaveLength(100);
    expect(shown("x".repeat(101))).toBe(`${"x".repeat(100)}…`);
    expect(shown(`${"x".repeat(99)}🐱🐱`)).toBe(`${"x".repeat(99)}…`);
  });
});
