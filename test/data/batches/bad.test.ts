import { describe, expect, it } from "vitest";
import { checkBad, checkBadSample, type Skipped } from "../../../src/data/batches/bad.ts";
import { key, Random } from "../../../src/tensor/random.ts";

const bad = (count: number): Skipped[] =>
  Array.from({ length: count }, (_, index) => ({
    index,
    id: `${index}.jpg`,
    reason: `cannot read image ${index}.jpg`,
  }));

describe("too many bad images", () => {
  it.each([
    [6, 60, 0.1, false],
    [7, 60, 0.1, true],
    [1, 60, 0, true],
    [60, 60, 1, false],
    [0, 60, 0, false],
  ])("%i of %i, where %d is allowed: %s", (count, length, share, stops) => {
    const check = () => checkBad(bad(count), length, share);
    if (stops) expect(check).toThrow(`at least ${count} of ${length} images cannot be read, more than the`);
    else expect(check).not.toThrow();
  });

  it("are told with the first one and what to do", () => {
    expect(() => checkBad(bad(13), 60, 0.1)).toThrow(
      "at least 13 of 60 images cannot be read, more than the 10 % allowed; the first: cannot read image 0.jpg. " +
        "Mend or remove them, or allow more: --max-bad-share 0.3",
    );
  });
});

/** Whether an epoch over images of which `share` are bad is stopped, and after how many. */
function epoch(length: number, share: number, seed: number): number | undefined {
  const order = new Random(key(seed)).permutation(length);
  let badTried = 0;
  for (const [i, index] of order.entries()) {
    if (index < share * length) badTried++;
    try {
      checkBadSample(bad(1), { tried: i + 1, badTried, length, share: 0.1 });
    } catch {
      return i + 1;
    }
  }
  return undefined;
}

describe("a random sample", () => {
  it.each([0.05, 0.09, 0.1])("does not stop where %d are bad, which is allowed", (share) => {
    for (let seed = 0; seed < 20; seed++) expect(epoch(2000, share, seed)).toBeUndefined();
  });

  it.each([0.3, 0.6, 1])("stops soon where %d are bad", (share) => {
    for (let seed = 0; seed < 20; seed++) expect(epoch(2000, share, seed)).toBeLessThan(300);
  });

  it("stops in the end where a little too many are", () => {
    expect(epoch(2000, 0.11, 0)).toBeLessThanOrEqual(2000);
  });
});
