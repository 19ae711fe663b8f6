/** A text from a stranger's file as a sentence can show it: one short line of printable ASCII. */
export function shown(text: string): string {
  const plain = text.slice(0, 80).replace(/[^\x20-\x7e]/g, "?");
  return text.length > 80 ? `${plain}…` : plain;
}
