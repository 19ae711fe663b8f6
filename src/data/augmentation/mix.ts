/**
 * Mixup and cutmix: every image of a batch is blended with another one, or gets a box of it, and so are its targets.
 * Follows timm's `Mixup` in mode "batch" (the paper's fine-tuning): one draw for the whole batch, whose
 * partner is the batch in reverse order. Sources: Zhang et al., "mixup: Beyond empirical risk minimization", 2018; Yun
 * et al., "CutMix: Regularization strategy to train strong classifiers with localizable features", 2019.
 */
import type { Random } from "../../tensor/random.ts";
import { type Tensor, tensor } from "../../tensor/tensor.ts";
import type { Box } from "../source.ts";

export interface MixOptions {
  readonly classes: number;
  /** Share of a target that is spread evenly over all classes. */
  readonly smoothing: number;
  /** a of Beta(a, a), from which mixup's lambda is drawn; 0 = no mixup. */
  readonly mixup: number;
  /** The same of cutmix; 0 = no cutmix. */
  readonly cutmix: number;
  /** How often a batch is mixed at all. */
  readonly probability: number;
  /** How often a mixed batch is cut rather than blended, where both are on. */
  readonly switch: number;
}

/** What is done with a batch, drawn once and then plain data. */
export interface Mixing {
  /** Share that stays of an image and its target; 1 = nothing is mixed. */
  readonly lambda: number;
  /** The part that comes from the partner; without it, all pixels are blended. */
  readonly box?: Box;
}

/** Mixes images [B, 3, S, S] with the batch in reverse order, in place. Returns soft targets [B, classes]. */
export function mix(
  images: Tensor<"float32">,
  labels: ArrayLike<number>,
  options: MixOptions,
  random: Random,
): Tensor<"float32"> {
  const [count = 0, , height = 0, width = 0] = images.shape;
  if ((options.mixup > 0 || options.cutmix > 0) && count % 2 === 1)
    throw new Error(
      `mixup and cutmix pair the images of a batch and need an even number of them, but it has ${count}; ` +
        `use an even batch size`,
    );
  return applyMixing(images, labels, options, drawMixing(options, random, width, height));
}

/** Draws what is done with a batch of images of width × height. */
export function drawMixing(options: MixOptions, random: Random, width: number, height: number): Mixing {
  const { mixup, cutmix, probability } = options;
  if ((mixup <= 0 && cutmix <= 0) || random.uniform() >= probability) return { lambda: 1 };
  const cuts = cutmix > 0 && (mixup <= 0 || random.uniform() < options.switch);
  if (!cuts) return { lambda: random.beta(mixup) };
  return cut(random.beta(cutmix), random.integer(width), random.integer(height), width, height);
}

/**
 * The box around pixel (x, y) that takes a share of 1 - lambda of an image of width × height. What lies outside is cut
 * off, and lambda is corrected to what is left.
 */
export function cut(lambda: number, x: number, y: number, width: number, height: number): Mixing {
  const side = Math.sqrt(1 - lambda);
  const [fromX, toX] = around(x, Math.floor(width * side), width);
  const [fromY, toY] = around(y, Math.floor(height * side), height);
  const box = { left: fromX, top: fromY, width: toX - fromX, height: toY - fromY };
  return { lambda: 1 - (box.width * box.height) / (width * height), box };
}

/** Half of `length` on both sides of `center`, rounded down, within 0 … size. */
function around(center: number, length: number, size: number): [from: number, to: number] {
  const half = Math.floor(length / 2);
  return [Math.max(center - half, 0), Math.min(center + half, size)];
}

/** Carries out `mixing` on images [B, 3, S, S], in place. Returns soft targets [B, classes]. */
export function applyMixing(
  images: Tensor<"float32">,
  labels: ArrayLike<number>,
  { classes, smoothing }: Pick<MixOptions, "classes" | "smoothing">,
  { lambda, box }: Mixing,
): Tensor<"float32"> {
  const [count = 0, channels = 0, height = 0, width = 0] = images.shape;
  const { left, top, ...size } = box ?? { left: 0, top: 0, width, height };
  const share = box === undefined ? lambda : 0; // of the image's own pixels within the box
  const pairs = lambda < 1 ? Math.ceil(count / 2) : 0;
  const { data } = images;
  for (let i = 0; i < pairs; i++)
    for (let row = 0; row < channels * size.height; row++) {
      const plane = Math.floor(row / size.height) * height;
      const offset = (plane + top + (row % size.height)) * width + left;
      const image = i * channels * height * width + offset;
      const partner = (count - 1 - i) * channels * height * width + offset;
      for (let x = 0; x < size.width; x++) {
        const [a, b] = [data[image + x]!, data[partner + x]!];
        data[image + x] = share * a + (1 - share) * b;
        data[partner + x] = share * b + (1 - share) * a;
      }
    }

  if (labels.length !== count)
    throw new Error(`a batch of ${count} images needs as many labels, but there are ${labels.length}`);
  const targets = tensor("float32", [count, classes]);
  targets.data.fill(smoothing / classes);
  for (let i = 0; i < count; i++)
    for (const [label, weight] of [
      [labels[i]!, lambda],
      [labels[count - 1 - i]!, 1 - lambda],
    ] as const) {
      if (!Number.isInteger(label) || label < 0 || label >= classes)
        throw new Error(`labels must be whole numbers from 0 to ${classes - 1}, but one is ${label}`);
      targets.data[i * classes + label]! += weight * (1 - smoothing);
    }
  return targets;
}
