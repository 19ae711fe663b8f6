/**
 * The paper's own runs on ImageNet-1k (Jiang et al., Layer Grafted Pre-training, ICLR 2023), those it builds on, and its
 * evaluations. Beside every constant stands where it comes from:
 *
 * - LGP: released code of the paper, `COMMANDS` and `scripts/pretrain.sh` with the options named; defaults of its scripts
 * - MAE: facebookresearch/mae, `PRETRAIN.md`, `main_pretrain.py`, `models_mae.py`
 * - MoCo: facebookresearch/moco-v3, `README.md`, `CONFIG.md`, `main_moco.py`, `moco/builder.py`
 *
 * Augmentations (`data/augmentation/views.ts`) and what is the same in every method (`methods.ts`: AdamW's betas of 0.9 and
 * 0.95 with weight decay 0.05 for MAE, of 0.9 and 0.999 with 0.1 for MoCo, the frozen patch projection of MoCo's
 * `--stop-grad-conv1`) have their sources there. One thing differs: MoCo decays biases and norms as well, LGP and we do not.
 */
import type { SourceInput } from "../data/sources/open.ts";
import { presets, type VitConfig } from "../nn/vit.ts";
import { createObjective, type ObjectiveInput, objectiveSchema } from "../objectives/kinds.ts";
import type { RecipeInput } from "../recipe/recipe.ts";
import { microBatchFor } from "../cost/micro-batch.ts";
import type { ProtocolSettings } from "../measure/protocols/index.ts";
import { type ClOptions, type GraftOptions, method, type Method, type MimOptions } from "./methods.ts";

interface PaperRecipe {
  readonly what: string;
  readonly method: Method;
  readonly model: VitConfig;
  readonly mim: MimOptions;
  readonly cl: ClOptions;
  readonly graft?: GraftOptions;
}

const base = presets["vit-base/16"]!; // LGP models/vits.py: vit_base, 224 px
const large = presets["vit-large/16"]!; // LGP models/vits.py: vit_large, 224 px

/** MAE's pre-training; ViT-B and ViT-L differ in nothing but the encoder. */
const mae = (model: VitConfig): MimOptions => ({
  epochs: 1600, // MAE FINETUNE.md: the released checkpoints, from which LGP grafts (PRETRAIN.md recommends 800)
  warmup: 40, // MAE PRETRAIN.md: --warmup_epochs 40
  batch: 4096, // MAE PRETRAIN.md: 64 per GPU on 64 GPUs
  microBatch: microBatchFor(4096, tokensOf(model, { kind: "mae" })), // ours: a matter of memory and time, not of the result
  learningRate: 1.5e-4, // MAE PRETRAIN.md: --blr 1.5e-4
  objective: "mae",
  maskRatio: 0.75, // MAE PRETRAIN.md: --mask_ratio 0.75
  normPix: true, // MAE PRETRAIN.md: --norm_pix_loss
});

/** MoCo v3's pre-training of ViT-B. */
const moco: ClOptions = {
  epochs: 300, // MoCo CONFIG.md: --epochs=300; LGP COMMANDS the same
  warmup: 40, // MoCo CONFIG.md: --warmup-epochs=40; LGP pretrain.sh --warm_up 40
  batch: 4096, // MoCo README.md: batch 4096; LGP COMMANDS: 64 per GPU on 64 GPUs
  microBatch: microBatchFor(4096, tokensOf(base, { kind: "mocov3" })), // ours, as above
  learningRate: 1.5e-4, // MoCo CONFIG.md: --lr=1.5e-4; LGP: the last of --lr_layer_wise
  objective: "mocov3",
  temperature: 0.2, // MoCo CONFIG.md: --moco-t=.2; LGP pretrain.sh --temp 0.2
  momentum: 0.99, // MoCo main_moco.py: --moco-m 0.99 with --moco-m-cos
  mlpDim: 4096, // MoCo main_moco.py: --moco-mlp-dim 4096
  dim: 256, // MoCo main_moco.py: --moco-dim 256
};

/** LGP COMMANDS: --lr 1 --lr_layer_wise 1.5e-5,1.5e-5,1.5e-4, as factors on 1.5e-4. */
const thirds = [0.1, 0.1, 1];

const recipes: Readonly<Record<string, PaperRecipe>> = {
  "paper/mae-vit-base": {
    what: "MAE's ViT-B/16: 1,600 epochs of MIM, batch 4,096",
    method: "mim",
    model: base,
    mim: mae(base),
    cl: moco,
  },
  "paper/mocov3-vit-base": {
    what: "MoCo v3's ViT-B/16: 300 epochs of CL, batch 4,096",
    method: "cl",
    model: base,
    mim: mae(base),
    cl: moco,
  },
  "paper/graft-vit-base": {
    what: "the paper's ViT-B/16: MAE, then 300 epochs of CL at three learning rates, batch 4,096",
    method: "layer-grafted",
    model: base,
    mim: mae(base),
    cl: moco,
    graft: { rates: thirds },
  },
  "paper/graft-vit-large": {
    what: "the paper's ViT-L/16: the same with batch 2,080 and the lower half anchored",
    method: "layer-grafted",
    model: large,
    mim: mae(large),
    // LGP COMMANDS: 26 per GPU on 80 GPUs
    cl: { ...moco, batch: 2080, microBatch: microBatchFor(2080, tokensOf(large, { kind: "mocov3" })) },
    // LGP COMMANDS: --l1_dist_w 1e-5 --l1_dist_to_block 12: embeddings and blocks 0 to 11
    graft: { rates: thirds, l1Anchor: { weight: 1e-5, blocks: 12 } },
  },
};

/** What each of the paper's recipes is, by name. */
export const paperRecipes: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(recipes).map(([name, { what }]) => [name, what]),
);

export interface PaperOptions {
  readonly data: SourceInput;
  readonly seed?: number;
  /** A checkpoint with an encoder that takes the place of the first of two stages, as MAE's did in the paper. */
  readonly parent?: string;
}

/** The recipe of one of the paper's runs. Throws when there is none of this name. */
export function paper(name: string, options: PaperOptions): RecipeInput {
  const { what, method: kind, ...settings } = paperRecipe(name);
  return method(kind, { name: name.replace("/", "-"), description: what, ...settings, ...options });
}

function tokensOf(model: VitConfig, objective: ObjectiveInput): number {
  return createObjective(model, objectiveSchema.parse(objective)).tokens;
}

/** The method that a recipe of the paper is. */
export function paperMethod(name: string): Method {
  return paperRecipe(name).method;
}

function paperRecipe(name: string): PaperRecipe {
  const recipe = recipes[name];
  if (recipe === undefined)
    throw new Error(`the paper has no recipe ${name}; available: ${Object.keys(recipes).join(", ")}`);
  return recipe;
}

/**
 * The paper's evaluations, as settings of the protocols: what `evaluate --protocol NAME` asks. LGP COMMANDS; the constants of
 * the presets stand with their sources in `evaluators/sweep-recipe.ts`, `evaluators/few-shot.ts` and
 * `measure/finetune-settings.ts`. Labels of a tenth or a hundredth are drawn; the paper's own are lists (`split file`).
 */
export const paperEvaluations = {
  // main_lincls_sweep.py: 70 heads on crops of 8 to 100 % and flips, 90 epochs, batch 4096
  "paper/linear": { "linear-sweep": { preset: "lgp", augmented: true } },
  // main_lincls_sweep.py --logistic_reg: the 12,811 images of one list, no augmentation
  "paper/1-percent": { "few-shot": { shots: ["1%"], preparation: "paper" } },
  "paper/10-percent-vit-base": { "fine-tune": { preset: "tenth", labels: "10%" } },
  "paper/10-percent-vit-large": { "fine-tune": { preset: "tenth-large", labels: "10%" } },
  "paper/fine-tune-vit-base": { "fine-tune": { preset: "full" } },
  "paper/fine-tune-vit-large": { "fine-tune": { preset: "full-large" } },
} as const satisfies Readonly<Record<string, ProtocolSettings>>;
