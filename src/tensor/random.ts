/**
 * Seeded, counter-based random numbers: the only source of randomness in the project.
 * A key names a stream; `fold` derives the key of a sub-stream (an epoch, a sample, a parameter), so every draw is a
 * pure function of what it is for and does not depend on the number of workers or on the order of events.
 * Generator: Threefry-2x32 with 20 rounds (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 */
export type Key = readonly [number, number];

/** The root key of a seed (a safe integer). */
export function key(seed: number): Key {
  if (!Number.isSafeInteger(seed)) throw new Error(`seed must be a whole number below 2^53, but is ${seed}`);
  const low = seed >>> 0;
  return threefry(low, Math.floor((seed - low) / 2 ** 32) >>> 0, 0x6c677266, 0);
}

/** The key of a sub-stream, named by whole numbers and strings: `fold(key, "crop", epoch, index)`. */
export function fold(parent: Key, ...names: readonly (number | string)[]): Key {
  let current = parent;
  for (const name of names) {
    const word = typeof name === "number" ? name : hash(name);
    current = threefry(current[0], current[1], word >>> 0, Math.floor(word / 2 ** 32) >>> 0);
  }
  return current;
}

/** A stream of numbers drawn from one key. */
export class Random {
  readonly #key: Key;
  #counter = 0;
  #spare: number | undefined;

  constructor(streamKey: Key) {
    this.#key = streamKey;
  }

  /** 32 random bits as a whole number in [0, 2^32). */
  bits(): number {
    if (this.#spare !== undefined) {
      const spare = this.#spare;
      this.#spare = undefined;
      return spare;
    }
    const [first, second] = threefry(this.#key[0], this.#key[1], this.#counter >>> 0, 0x7f4a7c15);
    this.#counter++;
    this.#spare = second;
    return first;
  }

  /** Uniform in [low, high), with 32 bits of resolution. */
  uniform(low = 0, high = 1): number {
    return low + (high - low) * (this.bits() / 2 ** 32);
  }

  /** Standard normal, by Box and Muller (one of the pair). */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.bits() / 2 ** 32));
    return radius * Math.cos((2 * Math.PI * this.bits()) / 2 ** 32);
  }

  /** Beta(a, a) for a > 0, in [0, 1]: the share of one of two equal gammas. */
  beta(a: number): number {
    return 1 / (1 + Math.exp(this.#logGamma(a) - this.#logGamma(a)));
  }

  /**
   * Logarithm of a gamma variable of scale 1 (Marsaglia and Tsang, "A simple method for generating gamma variables",
   * 2000). For a small `shape` the variable itself would be too small for a float.
   */
  #logGamma(shape: number): number {
    const positive = () => 1 - this.uniform();
    if (shape < 1) return this.#logGamma(shape + 1) + Math.log(positive()) / shape;
    const d = shape - 1 / 3;
    for (;;) {
      const x = this.normal();
      const v = (1 + x / Math.sqrt(9 * d)) ** 3;
      if (v > 0 && Math.log(positive()) < x ** 2 / 2 + d * (1 - v + Math.log(v))) return Math.log(d * v);
    }
  }

  /** Whole number in [0, n), without modulo bias. */
  integer(n: number): number {
    const limit = Math.floor(2 ** 32 / n) * n;
    let draw = this.bits();
    while (draw >= limit) draw = this.bits();
    return draw % n;
  }

  /** A random order of 0 … n-1 (Fisher and Yates). */
  permutation(n: number): Int32Array {
    const order = new Int32Array(n).map((_, i) => i);
    for (let i = n - 1; i > 0; i--) {
      const j = this.integer(i + 1);
      const swapped = order[i]!;
      order[i] = order[j]!;
      order[j] = swapped;
    }
    return order;
  }
}

/** FNV-1a over UTF-16 code units. */
function hash(text: string): number {
  let value = 0x811c9dc5;
  for (let i = 0; i < text.length; i++) value = Math.imul(value ^ text.charCodeAt(i), 0x01000193) >>> 0;
  return value;
}

/** One Threefry-2x32-20 block: encrypts the counter (c0, c1) under the key (k0, k1). */
export function threefry(k0: number, k1: number, c0: number, c1: number): Key {
  const keys = [k0 | 0, k1 | 0, 0x1bd11bda ^ k0 ^ k1];
  let x = (c0 + k0) | 0;
  let y = (c1 + k1) | 0;
  for (let group = 0; group < 5; group++) {
    const rotations = group % 2 === 0 ? even : odd;
    for (const r of rotations) {
      x = (x + y) | 0;
      y = ((y << r) | (y >>> (32 - r))) ^ x;
    }
    x = (x + keys[(group + 1) % 3]!) | 0;
    y = (y + keys[(group + 2) % 3]! + group + 1) | 0;
  }
  return [x >>> 0, y >>> 0];
}
const even = [13, 15, 26, 6] as const;
const odd = [17, 29, 16, 24] as const;
