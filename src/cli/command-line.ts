/** The command as it was typed, for run folders and their locks. */
export function commandLine(): string {
  return `layergraft ${process.argv.slice(2).join(" ")}`;
}
