/** The recipes of linear probing: those of layer-grafted pre-training, MAE and MoCo v3, and what can be set. */
import * as z from "zod";
import { warmupCosine } from "../optim/schedules.ts";

export interface SweepRecipe {
  /** Candidates, for a batch of 256: a batch of n trains with n / 256 times as much. */
  readonly learningRates: readonly number[];
  readonly weightDecays: readonly number[];
  readonly optimizer: "sgd" | "lars";
  readonly momentum: number;
  readonly epochs: number;
  /** Epochs in which the learning rate rises from 0; then it falls on a half cosine to 0. */
  readonly warmup: number;
  /** When the learning rate changes. */
  readonly schedule: "every epoch" | "every step";
  /** Rows of a step, at most the training images. An epoch is whole batches; which images are left over changes. */
  readonly batch: number;
  /** Normalise features by the batch, without scale and shift. */
  readonly batchNorm: boolean;
}

/**
 * `lgp` is the paper's (`main_lincls_sweep.py`): 70 heads. Its code multiplies learning rates by the number of GPUs once
 * more than it says; these are scaled by the batch alone. `mae` is `main_linprobe.py`, `mocov3` is `main_lincls.py`.
 */
export const sweepRecipes = {
  lgp: {
    learningRates: [-5, -4, -3, -2, -1, 0, 1].flatMap((exponent) =>
      [1, 3, 5, 7, 9].map((digit) => Number(`${digit}e${exponent}`)),
    ),
    weightDecays: [0, 1e-6],
    optimizer: "sgd",
    momentum: 0,
    epochs: 90,
    warmup: 0,
    schedule: "every epoch",
    batch: 4096,
    batchNorm: false,
  },
  mae: {
    learningRates: [0.1],
    weightDecays: [0],
    optimizer: "lars",
    momentum: 0.9,
    epochs: 90,
    warmup: 10,
    schedule: "every step",
    batch: 16384,
    batchNorm: true,
  },
  mocov3: {
    learningRates: [3],
    weightDecays: [0],
    optimizer: "sgd",
    momentum: 0.9,
    epochs: 90,
    warmup: 0,
    schedule: "every epoch",
    batch: 1024,
    batchNorm: false,
  },
} as const satisfies Record<string, SweepRecipe>;

/** As a command takes it. */
export const sweepSettings = z
  .strictObject({
    preset: z.enum(["lgp", "mae", "mocov3"]),
    learningRates: z.array(z.number().positive()).min(1),
    weightDecays: z.array(z.number().min(0)).min(1),
    optimizer: z.enum(["sgd", "lars"]),
    momentum: z.number().min(0).lt(1),
    epochs: z.int().min(1),
    warmup: z.number().min(0),
    schedule: z.enum(["every epoch", "every step"]),
    batch: z.int().min(1),
    batchNorm: z.boolean(),
  })
  .partial();

/** Whatever is not set is the preset's. */
export interface SweepSettings extends Partial<SweepRecipe> {
  /** Default `lgp`. */
  readonly preset?: keyof typeof sweepRecipes;
}

/** What learning rates are multiplied by in `epoch`, counted from 0, of which the share `done` is over. */
export function rateFactor({ epochs, warmup, schedule }: SweepRecipe, epoch: number, done: number): number {
  const time = schedule === "every step" ? epoch + done : epoch;
  return warmupCosine(time, { peak: 1, warmup, total: epochs });
}

/** The preset with whatever the options change. Throws one sentence when it cannot be trained. */
export function recipeOf({ preset = "lgp", ...options }: SweepSettings): SweepRecipe {
  const base: SweepRecipe | undefined = sweepRecipes[preset];
  if (base === undefined)
    throw new Error(`the linear sweep has no preset ${preset}; available: ${Object.keys(sweepRecipes).join(", ")}`);
  const recipe: SweepRecipe = {
    learningRates: options.learningRates ?? base.learningRates,
    weightDecays: options.weightDecays ?? base.weightDecays,
    optimizer: options.optimizer ?? base.optimizer,
    momentum: options.momentum ?? base.momentum,
    epochs: options.epochs ?? base.epochs,
    warmup: options.warmup ?? base.warmup,
    schedule: options.schedule ?? base.schedule,
    batch: options.batch ?? base.batch,
    batchNorm: options.batchNorm ?? base.batchNorm,
  };
  const { learningRates, weightDecays, epochs, warmup, batch } = recipe;
  if (learningRates.length === 0 || !learningRates.every((rate) => rate > 0))
    throw new Error(`the linear sweep needs learning rates above 0, but got ${learningRates.join(", ") || "none"}`);
  if (weightDecays.length === 0 || !weightDecays.every((decay) => decay >= 0))
    throw new Error(`the linear sweep needs weight decays of 0 or more, but got ${weightDecays.join(", ") || "none"}`);
  for (const [what, value] of Object.entries({ epochs, batch }))
    if (!Number.isInteger(value) || value < 1)
      throw new Error(`${what} of the linear sweep must be a whole number of at least 1, but is ${value}`);
  if (warmup >= epochs)
    throw new Error(`the linear sweep's warmup must be shorter than its ${epochs} epochs, but is ${warmup}`);
  return recipe;
}
