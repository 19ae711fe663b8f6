/** What an encoder is trained for, and how a recipe names it. */
import type * as z from "zod";
import type { Value } from "../graph/value.ts";
import type { Scope } from "../nn/scope.ts";
import type { VitConfig } from "../nn/vit.ts";

/** Named symbolic values: the fields of a batch, or rows of features. */
export type Values = Readonly<Record<string, Value>>;

/**
 * What a network is trained for, as two functions that together are the step: `loss(encode(batch))`.
 * They are apart because `encode` treats every sample by itself, so it may run in any split of the batch, while `loss`
 * sees the batch as a whole (batch normalisation, contrast between samples). Beside them it states the facts that others
 * ask for: whoever counts, cuts, grafts or saves asks the objective and knows no kind of it.
 */
export interface Objective {
  readonly name: string;
  /** Prefix of the backbone's parameters, e.g. `base_encoder.`; its names below the prefix are timm's, see `backbonePattern`. */
  readonly encoder: string;
  /** Full names of the decoder's parameters, which masked image modelling needs besides the encoder. Left out: it has none. */
  readonly decoder?: RegExp | undefined;
  /** Fields of a batch and the shape of one sample of each. */
  readonly fields: Readonly<Record<string, readonly number[]>>;
  /** Tokens of an image in the encoder, over all of its views; a share of the patches may make it a fraction. */
  readonly tokens: number;
  /** True when the loss of a batch is not the mean of the losses of its parts. */
  readonly coupled: boolean;
  /**
   * From fields [B, …] rows of float32, whose leading axis counts the samples, [B, …], or view after view the samples of
   * each, [views·B, …]. A buffer (`Scope.update`) is moved by `loss` alone: `encode` runs as often as there are parts.
   */
  encode(p: Scope, batch: Values, scalars: Values): Values;
  /** From the rows of the whole batch the mean loss, a scalar of shape []. */
  loss(p: Scope, encoded: Values, scalars: Values): Loss;
  readonly copies?: readonly Copy[];
  /**
   * Numbers that change while a stage runs, as a temperature may: by name what each is when a share of the stage, in
   * [0, 1], is done. `encode` and `loss` find them among their `scalars`, of shape [].
   */
  readonly schedules?: Readonly<Record<string, (progress: number) => number>>;
  /** What a checkpoint says besides model, encoder and view, so that another run can go on from the file alone. */
  readonly metadata?: Readonly<Record<string, string>>;
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

/** Masked image modelling, contrast between views, or both at once. */
export type Family = "mim" | "cl" | "joint";

/** The options of a kind, with defaults and descriptions; `kind` is the name by which a recipe asks for it. */
export type KindSchema = z.ZodObject<{ kind: z.ZodLiteral<string> }>;

/** How a recipe names an objective: the options it takes, and what they make. */
export interface ObjectiveKind<S extends KindSchema = KindSchema> {
  readonly schema: S;
  readonly family: Family;
  /**
   * The objective for a model. `encoder` is the prefix under which the backbone is to be, where masked image modelling
   * shares it with contrast; left out, whatever suits the kind. Throws one sentence when model and options do not go
   * together.
   */
  create(model: VitConfig, options: z.infer<S>, encoder?: string): Objective;
}
