/**
 * `layergraft demo`: the whole way on the built-in drawings. One style is held out of training altogether, and so are
 * the concepts of the validation and test splits.
 */
import { styles } from "../data/sources/emoji/installed.ts";
import type { RecipeInput } from "../recipe/recipe.ts";
import { method } from "./methods.ts";

/** `quick` shows that everything works, `standard` that it learns, `full` what it can learn. */
export type DemoSize = "quick" | "standard" | "full";

// Crops keep much of a small picture, and blur is scaled to it.
const view = {
  scale: [0.35, 1] as [number, number],
  jitter: { probability: 0.8, brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 },
  grayscale: 0.15,
};
const sigma: [number, number] = [0.1, 0.6];

/**
 * Settings for few small images and little time, without the epochs: small batches give more steps for the same work, and a
 * small model bears the large learning rate. The ratio of lower to upper rates is milder than the paper's 1 : 10 because a
 * short MIM stage leaves the lower layers more to learn.
 */
export const smallImages = {
  model: { imageSize: 32, patchSize: 8, width: 96, depth: 6, heads: 3 },
  mim: { batch: 64, learningRate: 4e-3, view: { scale: [0.5, 1] as [number, number] } },
  cl: {
    batch: 64,
    learningRate: 8e-3,
    temperature: 0.1,
    mlpDim: 512,
    dim: 128,
    momentum: 0.98,
    views: {
      view1: { ...view, blur: { probability: 0.5, sigma } },
      view2: { ...view, blur: { probability: 0.1, sigma }, solarize: { probability: 0.1, threshold: 128 } },
    },
  },
  graft: { rates: [0.3, 0.3, 1] },
};

/** Drawings to train on. */
export const trainingDrawings = {
  kind: "emoji" as const,
  size: 64,
  split: "train" as const,
  styles: styles.filter((style) => style !== "fluent-emoji-flat"),
};

// Some minutes are better spent on epochs than on width (docs/defaults.md).
const narrow = { ...smallImages.model, width: 64, heads: 2 };
const sizes = {
  quick: { model: narrow, epochs: { mim: 4, cl: 1 } },
  standard: { model: narrow, epochs: { mim: 60, cl: 45 } },
  full: { model: smallImages.model, epochs: { mim: 150, cl: 100 } },
} as const;

export function demo(size: DemoSize, seed: number): RecipeInput {
  const { mim, cl, graft } = smallImages;
  const { model, epochs } = sizes[size];
  return method("layer-grafted", {
    name: `demo-${size}`,
    description:
      "A small Vision Transformer is pre-trained on emoji drawings without labels: first it fills in hidden patches " +
      "(MIM), then it learns to recognise two views of one drawing, with small steps in its lower layers (CL).",
    data: trainingDrawings,
    model,
    seed,
    resize: model.imageSize,
    mim: { ...mim, epochs: epochs.mim },
    cl: { ...cl, epochs: epochs.cl },
    graft,
  });
}
