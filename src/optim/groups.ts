/**
 * Per-parameter treatment as data: a list of rules, each a pattern on the parameter's name and what it sets. For every
 * property the first rule that matches and sets it decides. Layer grafting is nothing but such a list.
 */
export interface RateRule {
  /** Regular expression on the full parameter name. */
  readonly match: string;
  /** Factor on the stage's learning rate. */
  readonly rate?: number;
  /** False: no weight decay. */
  readonly decay?: boolean;
  /** True: not trained; no backward pass is spent on it. */
  readonly frozen?: boolean;
  /** Lazy: trained in every k-th step only, at k times the rate; the others spend no backward pass on it. */
  readonly every?: number;
}

/** What the rules say about one parameter. */
export interface Treatment {
  readonly rate: number;
  readonly decay: boolean;
  readonly frozen: boolean;
  /** Missing: trained in every step. */
  readonly every?: number | undefined;
}

/** Resolves the rules for one name; unmatched properties are rate 1, decay, not frozen, not lazy. */
export function treatment(rules: readonly RateRule[], name: string): Treatment {
  const first = <K extends "rate" | "decay" | "frozen" | "every">(key: K) =>
    rules.find((rule) => rule[key] !== undefined && new RegExp(rule.match).test(name))?.[key];
  const every = first("every");
  return {
    rate: first("rate") ?? 1,
    decay: first("decay") ?? true,
    frozen: first("frozen") ?? false,
    ...(every === undefined ? {} : { every }),
  };
}

/** Whether a parameter is trained in every k-th step only. */
export function isLazy(rules: readonly RateRule[], name: string): boolean {
  return treatment(rules, name).every !== undefined;
}

/** What a step takes on average where one in `every` is long, which trains the lazy parameters too. */
export function meanStep(every: number, long: number, short: number): number {
  return (long + (every - 1) * short) / every;
}

/** In every how many steps the lazy parameters are trained; 1 where no rule makes one lazy. Throws where rules differ. */
export function everyOf(rules: readonly RateRule[]): number {
  const found = [...new Set(rules.flatMap(({ every }) => every ?? []))];
  if (found.length > 1)
    throw new Error(
      `the rules say every ${found.join(" and every ")} steps, but a stage has a graph with its lazy parameters and one ` +
        "without them: give one number",
    );
  return found[0] ?? 1;
}

/** Pattern of an encoder's parameters below block `count`: class token, embeddings and the first `count` blocks. */
export function lower(count: number): string {
  const blocks = count === 0 ? "" : `|blocks\\.(${numbers(0, count)})\\.`;
  return `(^|\\.)(cls_token|pos_embed|patch_embed\\.${blocks})`;
}

/** The rest of the encoder: blocks `count` and up, and the final norm. */
export function upper(count: number, depth: number): string {
  const blocks = count === depth ? "" : `blocks\\.(${numbers(count, depth)})\\.|`;
  return `^(${blocks}norm\\.)`;
}

function numbers(from: number, to: number): string {
  return Array.from({ length: to - from }, (_, i) => from + i).join("|");
}

/**
 * Rules for a learning rate that falls geometrically towards the input: block i has ratio^(depth - i), class token and
 * embeddings ratio^(depth + 1), final norm and everything outside the encoder 1 (the released code's
 * `--layer_wise_decay_ratio`).
 */
export function layerDecay(depth: number, ratio: number): RateRule[] {
  const blocks = Array.from({ length: depth }, (_, i) => ({
    match: `(^|\\.)blocks\\.${i}\\.`,
    rate: ratio ** (depth - i),
  }));
  return [{ match: lower(0), rate: ratio ** (depth + 1) }, ...blocks];
}

/**
 * Rules that cut the encoder into `rates.length` equal groups of blocks, lowest first (layer-grafted pre-training, section 2.4). Class token and
 * embeddings go with the first group; final norm, heads and everything outside the blocks with the last.
 * Throws when the depth is not a multiple of the number of rates.
 */
export function stages(depth: number, rates: readonly number[]): RateRule[] {
  if (rates.length === 0 || depth % rates.length !== 0)
    throw new Error(`a depth of ${depth} blocks cannot be cut into ${rates.length} equal groups`);
  const size = depth / rates.length;
  const blocks = rates.map((rate, group) => ({
    match: `(^|\\.)blocks\\.(${numbers(group * size, (group + 1) * size)})\\.`,
    rate,
  }));
  return [{ match: lower(0), rate: rates[0]! }, ...blocks, { match: "", rate: rates.at(-1)! }];
}
