/** Blocks of a source: see `Source.blocks`. */

/** The block that an image is in: the last one that does not begin after it. */
export function blockOf(blocks: ArrayLike<number>, image: number): number {
  let [low, high] = [0, blocks.length];
  while (high - low > 1) {
    const middle = (low + high) >>> 1;
    if (blocks[middle]! <= image) low = middle;
    else high = middle;
  }
  return low;
}

/** Where the blocks that `starts` begins begin among the rows `indices`, if these ascend. Blocks without a row go. */
export function blocksOf(starts: ArrayLike<number>, indices: ArrayLike<number>): Uint32Array | undefined {
  const found: number[] = [];
  for (let row = 0, next = 0; row < indices.length; row++) {
    const index = indices[row]!;
    if (row > 0 && index <= indices[row - 1]!) return undefined;
    if (next < starts.length && index >= starts[next]!) found.push(row);
    while (next < starts.length && index >= starts[next]!) next++;
  }
  return Uint32Array.from(found);
}
