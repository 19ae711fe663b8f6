/** What a pickle may hand to the rest of the program: a tree that can be walked without care. */
import { PickleObject, type PickleValue } from "./pickle.ts";

export interface TreeOptions {
  /** How many bytes of the file an object stands for. */
  readonly bytesOf: (object: PickleObject) => number;
  /** Sums over the tree, what is used twice counted twice. */
  readonly limits: { readonly values: number; readonly bytes: number };
  readonly fail: (why: string) => Error;
}

/** Levels of dictionaries and lists. Optimizers have five. */
const mostLevels = 100;

/**
 * Checks that nothing in `root` holds itself, and that walking it as a tree is short. A pickle can use a list again and
 * again, so that twenty lines of it expand to millions ("billion laughs"), or put a list into itself.
 */
export function checkTree(root: PickleValue, { bytesOf, limits, fail }: TreeOptions): void {
  interface Size {
    values: number;
    bytes: number;
    levels: number;
  }
  /** Of every container that was walked; undefined while it is being walked. */
  const sizes = new Map<PickleValue, Size | undefined>();
  const sum: Size = { values: 0, bytes: 0, levels: 0 };
  const open: { value: PickleValue; children: Iterator<PickleValue>; size: Size }[] = [];

  const add = (to: Size, { values, bytes, levels }: Size) => {
    to.values += values;
    to.bytes += bytes;
    to.levels = Math.max(to.levels, levels + 1);
    if (to.values > limits.values || to.bytes > limits.bytes)
      throw fail("repeats its content more often than a file of its size can need");
    if (to.levels > mostLevels) throw fail(`nests dictionaries and lists more than ${mostLevels} levels deep`);
  };
  const visit = (value: PickleValue, to: Size) => {
    if (value instanceof Map || Array.isArray(value)) {
      if (sizes.has(value)) {
        const size = sizes.get(value);
        if (size === undefined) throw fail("holds a dictionary or list that holds itself");
        add(to, size);
      } else {
        sizes.set(value, undefined);
        open.push({ value, children: value.values(), size: { values: 1, bytes: 0, levels: 0 } });
      }
    } else if (value instanceof PickleObject) add(to, { values: 1, bytes: bytesOf(value), levels: 0 });
    else to.values++;
  };

  visit(root, sum);
  while (open.length > 0) {
    const { value, children, size } = open.at(-1)!;
    const { value: child, done } = children.next();
    if (done !== true) visit(child, size);
    else {
      open.pop();
      sizes.set(value, size);
      add(open.at(-1)?.size ?? sum, size);
    }
  }
}
