import type { Value } from "../graph/value.ts";
import type { Scope } from "../nn/scope.ts";

/** Named symbolic values: the fields of a batch, or rows of features. */
export type Values = Readonly<Record<string, Value>>;

/**
 * What a network is trained for, as two functions that together are the step: `loss(encode(batch))`.
 * They are apart because `encode` treats every sample by itself, so it may run in any split of the batch, while `loss`
 * sees the batch as a whole (batch normalisation, contrast between samples).
 */
export interface Objective {
  readonly name: string;
  /** Prefix of the backbone's parameters, e.g. `base_encoder.`; its names below the prefix are timm's. */
  readonly encoder: string;
  /** Fields of a batch and the shape of one sample of each. */
  readonly fields: Readonly<Record<string, readonly number[]>>;
  /** True when the loss of a batch is not the mean of the losses of its parts. */
  readonly coupled: boolean;
  /** Rows of float32, whose leading axis counts the samples, or view after view the samples of each. */
  encode(p: Scope, batch: Values, scalars: Values): Values;
  loss(p: Scope, encoded: Values, scalars: Values): Loss;
  readonly copies?: readonly Copy[];
  /**
   * Numbers that change while a stage runs, as a temperature may: by name what each is when a share of the stage, in
   * [0, 1], is done. `encode` and `loss` find them among their `scalars`, of shape [].
   */
  readonly schedules?: Readonly<Record<string, (progress: number) => number>>;
}

/**
 * Variables that are copies of others: `target` + x starts as `source` + x when a stage begins. With `momentum` it is an
 * exponential moving average from then on: before each step target = momentum·target + (1 - momentum)·source, of parameters
 * and constants alike, as in PyTorch, where both are parameters; `progress` is the share of the stage that is done, in
 * [0, 1].
 */
export interface Copy {
  readonly source: string;
  readonly target: string;
  momentum?(progress: number): number;
}

export interface Loss {
  readonly loss: Value;
  /** Scalars to log. */
  readonly metrics?: Values;
}
