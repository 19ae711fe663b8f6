/** Static shape of a tensor; `[]` is a scalar. */
export type Shape = readonly number[];

/** Number of elements. */
export function sizeOf(shape: Shape): number {
  return shape.reduce((product, n) => product * n, 1);
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((n, i) => n === b[i]);
}

/** `[2,3]`, as error messages show it. */
export function show(shape: Shape): string {
  return `[${shape.join(",")}]`;
}

/** The shape both broadcast to by NumPy's rule. Throws `cannot broadcast [2,3] with [2]: axis 1 is 3 and 2`. */
export function broadcast(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  const result: number[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const m = a[axis - rank + a.length] ?? 1;
    const n = b[axis - rank + b.length] ?? 1;
    if (m !== n && m !== 1 && n !== 1)
      throw new Error(`cannot broadcast ${show(a)} with ${show(b)}: axis ${axis} is ${m} and ${n}`);
    result.push(m === 1 ? n : m);
  }
  return result;
}

/** `axis` counted from the front; negative axes count from the back. */
export function normalizeAxis(axis: number, rank: number): number {
  if (!Number.isInteger(axis) || axis < -rank || axis >= rank)
    throw new Error(`axis ${axis} is out of range for a tensor of ${rank} dimensions`);
  return axis < 0 ? axis + rank : axis;
}

/** Normalised, ascending, without duplicates; all axes when `axes` is undefined. */
export function normalizeAxes(axes: number | readonly number[] | undefined, rank: number): number[] {
  if (axes === undefined) return Array.from({ length: rank }, (_, i) => i);
  const list = (typeof axes === "number" ? [axes] : axes).map((axis) => normalizeAxis(axis, rank));
  if (new Set(list).size !== list.length) throw new Error(`axes ${show(list)} name one axis twice`);
  return list.sort((a, b) => a - b);
}
