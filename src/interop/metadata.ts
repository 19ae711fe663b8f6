/**
 * What is said about weights: in the header of our own checkpoints, and in the JSON files that repositories of the
 * Hugging Face hub (timm's and transformers') have beside them.
 */
import { basename, dirname, join } from "node:path";
import * as z from "zod";
import { type CenterView, viewSpec } from "../data/augmentation/views.ts";
import type { SampleRange } from "../data/formats/decode.ts";
import { readJson } from "../run/json.ts";
import { type Layout, layouts } from "./layouts.ts";
import { hubNames } from "./weights-folder.ts";

type Channels = [number, number, number];

export interface WeightsMetadata {
  /** Whether the file is a checkpoint of ours. */
  readonly own: boolean;
  readonly heads?: { readonly count: number; readonly from: string };
  readonly decoderHeads?: number | undefined;
  /** Of the images' values, in a checkpoint of ours. */
  readonly range?: SampleRange | undefined;
  /** The MLP's activation. */
  readonly activation?: string | undefined;
  readonly layout?: Layout | undefined;
  /** The view of a checkpoint of ours, or what others say of it; and who says so. */
  readonly view?: (Partial<CenterView> & { readonly mean: Channels; readonly std: Channels }) | undefined;
  /** Share of the resized image that the crop keeps, where the view does not say. */
  readonly crop?: number;
  readonly viewFrom?: string;
}

/** What the header says if we wrote the file, else what lies beside it. */
export function readMetadata(path: string, header: ReadonlyMap<string, string>): WeightsMetadata {
  const own = ownSchema.safeParse(Object.fromEntries(header));
  if (!own.success) return { own: false, ...readConfigs(path) };
  const { model, view, range, decoder, layout } = own.data;
  const from = "the checkpoint says so";
  return {
    own: true,
    heads: { count: model.heads, from },
    decoderHeads: decoder?.decoderHeads,
    layout,
    range,
    view,
    viewFrom: from,
  };
}

const heads = z.int().min(1);

/** A string that holds JSON. */
const json = <T extends z.ZodType>(schema: T) =>
  z
    .string()
    .transform((text, context): unknown => {
      try {
        return JSON.parse(text);
      } catch {
        context.addIssue({ code: "custom", message: "is not JSON" });
        return z.NEVER;
      }
    })
    .pipe(schema);

const ownSchema = z.object({
  sha256: z.string(),
  model: json(z.object({ heads })),
  view: json(viewSpec.refine((view): view is CenterView => view.kind === "center")),
  range: json(z.tuple([z.number(), z.number()])).optional(),
  decoder: json(z.object({ decoderHeads: heads })).optional(),
  layout: z.enum(Object.keys(layouts) as Layout[]).optional(),
});

const channels = z.tuple([z.number(), z.number(), z.number()]);
const deviations = z.tuple([z.number().positive(), z.number().positive(), z.number().positive()]);

const configSchema = z.object({
  num_attention_heads: heads.optional(),
  decoder_num_attention_heads: heads.optional(),
  hidden_act: z.string().optional(),
  pretrained_cfg: z
    .object({
      mean: channels.optional(),
      std: deviations.optional(),
      crop_pct: z.number().positive().max(1).optional(),
      interpolation: z.string().optional(),
    })
    .optional(),
});

const preprocessorSchema = z.object({
  do_normalize: z.boolean().optional(),
  image_mean: channels.optional(),
  image_std: deviations.optional(),
  resample: z.int().optional(),
});

/** Reads `config.json` and `preprocessor_config.json`, if the file has the name that weights have in such a repository. */
function readConfigs(path: string): Omit<WeightsMetadata, "own"> {
  if (!hubNames.some((name) => name === basename(path))) return {};
  const config = readJson(join(dirname(path), "config.json"), configSchema);
  const preprocessor = readJson(join(dirname(path), "preprocessor_config.json"), preprocessorSchema);
  const count = config?.num_attention_heads;
  const model = {
    ...(count === undefined ? {} : { heads: { count, from: "config.json beside the file says so" } }),
    decoderHeads: config?.decoder_num_attention_heads,
    activation: config?.hidden_act,
  };
  if (preprocessor?.image_mean !== undefined && preprocessor.image_std !== undefined) {
    const { do_normalize: normalised = true, image_mean: mean, image_std: std, resample } = preprocessor;
    return {
      ...model,
      view: {
        mean: normalised ? mean : [0, 0, 0],
        std: normalised ? std : [1, 1, 1],
        interpolation: resample === 3 ? "bicubic" : "bilinear",
      },
      crop: 1,
      viewFrom: "preprocessor_config.json beside the file says so",
    };
  }
  const { mean, std, crop_pct: crop = 0.875, interpolation } = config?.pretrained_cfg ?? {};
  if (mean === undefined || std === undefined) return model;
  const view = { mean, std, interpolation: interpolation === "bilinear" ? "bilinear" : "bicubic" } as const;
  return { ...model, view, crop, viewFrom: "config.json beside the file says so" };
}
