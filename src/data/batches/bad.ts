/** Images that cannot be read: they are left out and named, until more than a share of all are bad. */
export interface Skipped {
  readonly index: number;
  readonly id: string;
  readonly reason: string;
}

/** Share of bad images that is put up with where nobody says another. */
export const usualBadShare = 0.1;

/** Throws when more than `share` of all `length` images are bad for certain, however many were tried. */
export function checkBad(bad: readonly Skipped[], length: number, share: number): void {
  if (bad.length > share * length) throw tooMany(bad, `at least ${bad.length} of ${length} images`, share);
}

/**
 * The same as soon as a random sample shows it, so that nobody waits for the end of a long epoch. Of the first `tried`
 * images, drawn at random, `badTried` are bad: more than chance (four deviations) makes of `share`. When all are tried, that
 * is the share itself.
 */
export function checkBadSample(
  bad: readonly Skipped[],
  { tried, badTried, length, share }: { tried: number; badTried: number; length: number; share: number },
): void {
  checkBad(bad, length, share);
  const sample = Math.max(tried, Math.min(length, 100)); // fewer say nothing
  const deviation = Math.sqrt(sample * share * (1 - share) * (1 - sample / length));
  if (badTried > share * sample + 4 * deviation)
    throw tooMany(bad, `${badTried} of ${tried} images taken at random`, share);
}

function tooMany(bad: readonly Skipped[], what: string, share: number): Error {
  const first = bad.reduce((a, b) => (a.index < b.index ? a : b));
  const percent = +(share * 100).toFixed(2);
  const more = +Math.min(1, share + 0.2).toFixed(2);
  return new Error(
    `${what} cannot be read, more than the ${percent} % allowed; the first: ${first.reason}. ` +
      `Mend or remove them, or allow more: --max-bad-share ${more}`,
  );
}
