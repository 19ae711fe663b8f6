/** A recipe says everything about a run: data, model and the stages it is trained in. A plain object, checked once. */
import * as z from "zod";
import { type Shape, show } from "../tensor/shape.ts";
import { devices } from "../backend/device.ts";
import { sourceSpec } from "../data/sources/open.ts";
import { shapeOf, viewSpec } from "../data/augmentation/views.ts";
import { createObjective, familyOf, mimSchema, objectiveSchema } from "../objectives/kinds.ts";
import type { Objective } from "../objectives/objective.ts";
import { positive, share } from "../objectives/options.ts";
import { patchCount } from "../nn/vit.ts";
import { checkLazy } from "./lazy.ts";

const pattern = z.string().refine(isPattern, { error: "is not a regular expression" });

const modelSchema = z.strictObject({
  imageSize: positive.describe("side of the input image, pixels"),
  patchSize: positive.describe("side of a patch, pixels"),
  width: positive,
  depth: positive,
  heads: positive,
});

/** What the learning rate does after the warm-up. */
export const schedules = ["cosine", "constant"] as const;
export type Schedule = (typeof schedules)[number];

/** Where the first values of a stage's parameters come from; later entries overwrite earlier ones. */
const initSchema = z.strictObject({
  stage: z.string().optional().describe("an earlier stage of this run"),
  path: z.string().optional().describe("a checkpoint file"),
  from: z.string().optional().describe("prefix of the names in the source; default: its encoder's"),
  to: z.string().optional().describe("prefix of the names in this stage; default: its encoder's"),
  match: pattern.default("").describe("regular expression on the name without prefix; default: all"),
});

/** How the graft of a stage is planned when the stage begins; the defaults are made for minutes. */
const planSchema = z.strictObject({
  mim: z
    .strictObject({ objective: mimSchema, views: z.record(z.string(), viewSpec) })
    .describe("the loss whose gradient is compared with the stage's own"),
  warmUpSteps: positive.default(100).describe("steps in which decoder and heads are trained alone"),
  jointSteps: positive
    .default(100)
    .describe("steps in which both losses train the encoder together, before it is looked at"),
  batches: positive.default(32).describe("over which the conflict is measured"),
  lowest: share.default(0.1).describe("factor on the learning rate where the losses conflict least"),
});

/** What is watched while a stage trains; see monitor.ts. */
const monitorSchema = z.discriminatedUnion("kind", [
  z.strictObject({
    kind: z.literal("conflict"),
    everyEpochs: z.number().positive(),
    batches: positive.default(8).describe("each one cosine per block"),
  }),
  z.strictObject({
    kind: z.literal("features"),
    everyEpochs: z.number().positive(),
    images: z.int().min(2).default(512).describe("at most; half of them are asked of the others"),
  }),
]);

const stageSchema = z
  .strictObject({
    name: z.string().regex(/^[A-Za-z0-9][\w.-]*$/, "letters, digits, '-' and '_'"),
    objective: objectiveSchema,
    views: z.record(z.string(), viewSpec).describe("what each field of a batch shows of an image"),
    epochs: z.number().positive(),
    batch: positive,
    microBatch: positive.describe("images per run of the graph; divides the batch"),
    recompute: z
      .boolean()
      .optional()
      .describe("keep only what enters each block, and compute the rest again in the backward pass: less memory"),
    learningRate: z.number().positive().describe("at the peak, for a batch of 256; scaled by batch / 256"),
    minLearningRate: z.number().min(0).default(0).describe("at the end, scaled alike"),
    warmup: z.number().min(0).describe("epochs"),
    schedule: z
      .enum(schedules)
      .default("cosine")
      .describe("of the learning rate after the warm-up: falling all the way, or constant until it is annealed"),
    anneal: share
      .default(0.1)
      .describe("share of the steps: in the last ones a constant rate falls, in as many more a run is finished early"),
    optimizer: z.strictObject({
      kind: z.literal("adamw"),
      betas: z.tuple([share, share]),
      epsilon: z.number().positive().default(1e-8),
      weightDecay: z.number().min(0),
    }),
    clip: z.number().positive().optional().describe("largest norm of the gradient; default: none"),
    rates: z
      .array(
        z.strictObject({
          match: pattern,
          rate: z.number().min(0).optional(),
          decay: z.boolean().optional(),
          frozen: z.boolean().optional(),
          every: z
            .number()
            .refine((k) => Number.isInteger(k) && k >= 2, {
              error: "must be a whole number of at least 2: trained in every so many steps only",
            })
            .optional(),
        }),
      )
      .default([])
      .describe("per parameter, first match first: factor on the learning rate, weight decay, frozen, lazy"),
    plan: planSchema.optional().describe("choose the blocks' learning rates from the measured conflict"),
    monitors: z.array(monitorSchema).optional().describe("extra numbers in the metrics"),
    init: z.array(initSchema).default([]),
  })
  .refine((stage) => stage.batch % stage.microBatch === 0, {
    error: "microBatch must divide batch",
    path: ["microBatch"],
  })
  .refine((stage) => stage.plan === undefined || stage.init.length > 0, {
    error: "a graft is planned on the encoder that the stage starts from: give init",
    path: ["plan"],
  })
  .refine(
    ({ monitors = [], objective }) =>
      familyOf(objective) === "joint" || !monitors.some(({ kind }) => kind === "conflict"),
    {
      error: "the conflict of two losses can be watched in a joint stage only",
      path: ["monitors"],
    },
  )
  .refine((stage) => stage.warmup < stage.epochs, { error: "warmup must be shorter than epochs", path: ["warmup"] })
  .refine((stage) => stage.schedule === "cosine" || stage.warmup <= (1 - stage.anneal) * stage.epochs, {
    error: "warmup and the share that is annealed must fit into epochs",
    path: ["anneal"],
  });

export const recipeSchema = z
  .strictObject({
    name: z.string(),
    description: z.string().optional(),
    seed: z.int().min(0).default(0),
    data: sourceSpec,
    limit: positive.optional().describe("use only so many images, drawn by the seed"),
    model: modelSchema,
    /** The view of an image when the encoder is used rather than trained. */
    evaluationView: viewSpec.refine((view) => view.kind === "center", { error: "must be a center view" }),
    stages: z.array(stageSchema).min(1),
    device: z.enum(devices).optional().describe("what computes the training step; default: cpu"),
    threads: positive.optional().describe("of the training step; default: one per physical core"),
    workers: z.int().min(0).default(1).describe("threads that decode and augment"),
    cacheMegabytes: z.number().min(0).default(1024).describe("memory for decoded images"),
    maxBadShare: share.default(0.1).describe("share of unreadable images above which the run stops"),
    checkpointMinutes: z.number().positive().default(5),
    checkpointSteps: positive.optional().describe("save every so many steps instead"),
    keepCheckpoints: positive.default(2).describe("besides the last one of every stage"),
  })
  .superRefine((recipe, context) => {
    try {
      patchCount(recipe.model);
    } catch (error) {
      context.addIssue({ code: "custom", message: (error as Error).message, path: ["model"] });
      return; // what follows cannot be judged
    }
    const names = recipe.stages.map(({ name }) => name);
    for (const [i, stage] of recipe.stages.entries()) {
      const { name, init } = stage;
      const problem = misfit(recipe, stage);
      if (problem !== undefined)
        context.addIssue({ code: "custom", message: problem.message, path: ["stages", i, problem.key] });
      if (names.indexOf(name) !== i)
        context.addIssue({ code: "custom", message: `two stages are named ${name}`, path: ["stages", i, "name"] });
      for (const [j, { stage, path }] of init.entries())
        if (
          (stage === undefined) === (path === undefined) ||
          (stage !== undefined && !names.slice(0, i).includes(stage))
        )
          context.addIssue({
            code: "custom",
            message: "names either an earlier stage or a path",
            path: ["stages", i, "init", j],
          });
    }
  });

export type Recipe = z.infer<typeof recipeSchema>;
export type RecipeInput = z.input<typeof recipeSchema>;
export type Stage = Recipe["stages"][number];

/** A checked recipe with all defaults filled in. Throws one sentence that names the option and what is allowed. */
export function defineRecipe(input: unknown): Recipe {
  const result = recipeSchema.safeParse(input);
  if (result.success) return result.data;
  const problems = result.error.issues.map((issue) => {
    const path = issue.path.map(String).join(".") || "the recipe";
    return issue.code === "unrecognized_keys"
      ? `${path} has no option ${issue.keys.map((key) => unknownKey(key, input, issue.path)).join(", ")}`
      : `${path}: ${issue.message}`;
  });
  throw new Error(`this recipe cannot be run: ${problems.join("; ")}`);
}

/** What a stage asks for that its objective cannot do. */
function misfit(recipe: Recipe, stage: Stage): { key: "objective" | "views" | "rates"; message: string } | undefined {
  let objective: Objective;
  try {
    objective = createObjective(recipe.model, stage.objective);
  } catch (error) {
    return { key: "objective", message: (error as Error).message };
  }
  const { name, fields } = objective;
  const list = (shapes: Readonly<Record<string, Shape>>) =>
    Object.entries(shapes)
      .map(([field, shape]) => `${field} ${show(shape)}`)
      .sort()
      .join(" and ") || "none";
  const needed = list(fields);
  const given = list(
    Object.fromEntries(Object.entries(stage.views).map(([field, view]) => [field, shapeOf(view)] as const)),
  );
  if (given !== needed)
    return { key: "views", message: `${name} with this model needs the views ${needed}, not ${given}` };
  try {
    checkLazy(objective, recipe.model, stage.rates);
  } catch (error) {
    return { key: "rates", message: (error as Error).message };
  }
  return undefined;
}

function isPattern(text: string): boolean {
  try {
    return new RegExp(text) instanceof RegExp;
  } catch {
    return false;
  }
}

/** The key, with the nearest key that exists beside it. */
function unknownKey(key: string, input: unknown, path: readonly PropertyKey[]): string {
  const nearest = nearestName(key, knownKeys(recipeSchema, input, path));
  return nearest === undefined ? `"${key}"` : `"${key}" (did you mean "${nearest}"?)`;
}

type ObjectSchema = z.ZodObject<Record<string, z.ZodType>>;

/** The keys of the object at `path`, found by walking schema and input together. */
function knownKeys(schema: unknown, input: unknown, path: readonly PropertyKey[]): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault) return knownKeys(schema.unwrap(), input, path);
  if (schema instanceof z.ZodDiscriminatedUnion) {
    const kind = schema.def.discriminator;
    const options = schema.options.map((each) => (each instanceof z.ZodPipe ? each.in : each)) as ObjectSchema[];
    const value = (input as Record<string, unknown>)[kind];
    return options.flatMap((each) => (each.shape[kind]!.safeParse(value).success ? knownKeys(each, input, path) : []));
  }
  if (schema instanceof z.ZodObject && path.length === 0) return Object.keys(schema.shape);
  const [step, ...rest] = path as string[];
  const next = (below: unknown) => knownKeys(below, (input as Record<string, unknown>)[step!], rest);
  if (schema instanceof z.ZodObject) return next(schema.shape[step!]);
  if (schema instanceof z.ZodArray) return next(schema.element);
  return schema instanceof z.ZodRecord ? next(schema.valueType) : [];
}

/** The candidate with the smallest edit distance, when it is close enough to be meant. */
export function nearestName(name: string, candidates: readonly string[]): string | undefined {
  const scored = candidates.map((candidate) => ({ candidate, distance: editDistance(name, candidate) }));
  const best = scored.sort((a, b) => a.distance - b.distance)[0];
  return best !== undefined && best.distance <= Math.max(2, name.length / 3) ? best.candidate : undefined;
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++)
      next.push(Math.min(next[j - 1]! + 1, row[j]! + 1, row[j - 1]! + Number(a[i - 1] !== b[j - 1])));
    row = next;
  }
  return row[b.length]!;
}
