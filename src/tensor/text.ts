/** Texts from a stranger's file, such as names and labels, as a terminal, a page or a line of JSON can show them. */

/**
 * What is not seen but acts: control characters, which command a terminal; marks that turn the direction of what follows;
 * separators of lines; halves of characters. Joiners stay, since scripts and emoji are written with them.
 */
const acting = /(?![\u200c\u200d])[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

/** A name or label on one line, with `\n`, `\x1b`, `\u202e` where it has such characters. The rest stays as it is. */
export function printable(text: string): string {
  return text.replace(acting, (character) => short.get(character) ?? escaped(character));
}

/** The same for text of several lines. */
export function printableLines(text: string): string {
  return text.split("\n").map(printable).join("\n");
}

/** JSON on one line, with the same characters escaped as JSON does, so that it is still the same value. */
export function printableJson(value: unknown): string {
  return JSON.stringify(value).replace(acting, (character) => {
    const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i));
    return units.map((unit) => `\\u${hex(unit, 4)}`).join("");
  });
}

/** A text of any length in a sentence: printable, and at most 100 characters of it. */
export function shown(text: string): string {
  const line = printable(text.slice(0, most + 2));
  return line.length > most ? `${line.slice(0, most).replace(/[\ud800-\udbff]$/, "")}…` : line;
}

const most = 100;

const short = new Map([
  ["\t", "\\t"],
  ["\n", "\\n"],
  ["\r", "\\r"],
]);

function escaped(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x100) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\u{${code.toString(16)}}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, "0");
}
