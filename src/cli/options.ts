import { InvalidArgumentError, Option } from "commander";

/** Parser of a whole number of at least `least`. */
export function whole(least = 1): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!Number.isInteger(value) || value < least)
      throw new InvalidArgumentError(`expected a whole number of at least ${least}.`);
    return value;
  };
}

/** Parser of a whole number of at least 1, or `auto`. */
export function wholeOrAuto(text: string): number | "auto" {
  if (text === "auto") return "auto";
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError("expected a whole number of at least 1, or auto.");
  return value;
}

/** Parser of a number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) throw new InvalidArgumentError("expected a number above 0.");
  return value;
}

/** Parser of a number in [0, 1]. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value <= 1))
    throw new InvalidArgumentError("expected a number from 0 to 1.");
  return value;
}

/** Parser of a list of numbers in [0, 1]. */
export function shares(text: string): number[] {
  return text.split(",").map(share);
}

/** Parser of a list of names. */
export function list(text: string): string[] {
  return text.split(",").map((each) => each.trim());
}

/** Parser of `weight,blocks`. */
export function anchor(text: string): { weight: number; blocks: number } {
  const [weight, blocks, ...more] = text.split(",");
  if (blocks === undefined || more.length > 0)
    throw new InvalidArgumentError("expected weight,blocks, such as 1e-5,12.");
  return { weight: positive(weight!), blocks: whole(0)(blocks) };
}

/** Parser of `key=value` pairs, collected; values are JSON where they are, else text. */
export function setting(text: string, previous: readonly Setting[] = []): Setting[] {
  const at = text.indexOf("=");
  if (at < 1) throw new InvalidArgumentError("expected key=value, such as stages.0.epochs=50.");
  let value: unknown = text.slice(at + 1);
  try {
    value = JSON.parse(value as string);
  } catch {
    // plain text
  }
  return [...previous, { path: text.slice(0, at).split("."), value }];
}
export interface Setting {
  readonly path: readonly string[];
  readonly value: unknown;
}

/** `target` with the settings applied; the recipe's own check tells unknown keys. */
export function applySettings<T>(target: T, settings: readonly Setting[]): T {
  const result = structuredClone(target);
  for (const { path, value } of settings) {
    let place = result as Record<string, unknown>;
    for (const key of path.slice(0, -1)) {
      const next = place[key];
      if (typeof next !== "object" || next === null)
        throw new Error(`--set ${path.join(".")}: there is no ${key} to set something in; stages are numbered from 0`);
      place = next as Record<string, unknown>;
    }
    place[path.at(-1)!] = value;
  }
  return result;
}

/** For every command that reads all images: how many of them it puts up with being bad. */
export function badShareOption(): Option {
  return new Option("--max-bad-share <share>", "stop when more of the images cannot be read (default: 0.1)").argParser(
    share,
  );
}
