/** Labels as files give them, names or numbers, one image after the other. */
import type { IndexFacts } from "./image-index.ts";

export class LabelNames {
  readonly #numbers = new Map<string, number>(); // as they come
  readonly #labels: number[] = [];

  /** The label of the next image; undefined when it has none. */
  push(label: string | undefined): void {
    if (label !== undefined && !this.#numbers.has(label)) this.#numbers.set(label, this.#numbers.size);
    this.#labels.push(label === undefined ? -1 : this.#numbers.get(label)!);
  }

  /** How many different labels there are. */
  get size(): number {
    return this.#numbers.size;
  }

  /**
   * The classes are the different labels, sorted; one alone tells nothing apart, so it is none. If `known` has the names
   * of the classes, a label is one of them or its place among them; another one throws `unknown`.
   */
  facts(known?: readonly string[], unknown?: (label: string) => Error): Pick<IndexFacts, "classes" | "labelOf"> {
    const classes = known ?? (this.size < 2 ? [] : [...this.#numbers.keys()].sort(byNumberOrName));
    const places = new Map(classes.map((name, i) => [name, i]));
    const sorted = Int32Array.from(this.#numbers.keys(), (label) => {
      const place = places.get(label) ?? (known && /^\d+$/.test(label) ? Number(label) : -1);
      if (known !== undefined && !(place >= 0 && place < known.length)) throw unknown!(label);
      return place;
    });
    return { classes, labelOf: (i) => sorted[this.#labels[i]!] ?? -1 };
  }
}

/** Numbers by size and before names; names by UTF-16 code units, as folders are. */
function byNumberOrName(a: string, b: string): number {
  const [x, y] = [Number(a), Number(b)];
  if (Number.isNaN(x) || Number.isNaN(y)) {
    if (Number.isNaN(x) !== Number.isNaN(y)) return Number.isNaN(x) ? 1 : -1;
    return a < b ? -1 : 1;
  }
  return x - y || (a < b ? -1 : 1);
}
