/** Images that cannot be read: they are left out and named, until there are too many. */
export interface Skipped {
  readonly index: number;
  readonly id: string;
  readonly reason: string;
}

/**
 * Throws when more than `share` of the images tried so far are bad. Until 100 images (or all) are tried, as many bad
 * ones are allowed as among 100: one bad image in the first batch says nothing.
 */
export function checkBad(bad: readonly Skipped[], tried: number, length: number, share: number): void {
  if (bad.length <= share * Math.max(tried, Math.min(length, 100))) return;
  const first = bad.reduce((a, b) => (a.index < b.index ? a : b));
  throw new Error(
    `${bad.length} of the ${tried} images tried are unreadable, more than the ${+(share * 100).toFixed(2)} % allowed ` +
      `(maxBadShare); the first: ${first.reason}`,
  );
}
