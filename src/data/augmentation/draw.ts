/** The random choices of a view. */
import type { Random } from "../../tensor/random.ts";
import type { Box } from "../source.ts";
import { drawRandAugment } from "./rand-augment.ts";
import type { Operation, Transform } from "./transform.ts";
import type { AugmentView, CenterView, ImageView } from "./views.ts";

/** Draws what `view` does with an image of width × height pixels. A centre view draws nothing. */
export function draw(view: ImageView, random: Random, width: number, height: number): Transform {
  return view.kind === "center" ? center(view, width, height) : augmentation(view, random, width, height);
}

function augmentation(view: AugmentView, random: Random, width: number, height: number): Transform {
  const { size, randAugment, jitter, grayscale, blur, solarize, erase } = view;
  const crop = randomCrop(view, random, width, height);
  const operations: Operation[] = [];
  const happens = (probability: number) => random.uniform() < probability;
  if (randAugment !== undefined) operations.push(...drawRandAugment(randAugment, view, random));
  if (jitter !== undefined && happens(jitter.probability)) operations.push(...shuffledJitter(jitter, random));
  if (grayscale !== undefined && happens(grayscale)) operations.push({ op: "grayscale" });
  if (blur !== undefined && happens(blur.probability))
    operations.push({ op: "blur", sigma: random.uniform(...blur.sigma) });
  if (solarize !== undefined && happens(solarize.probability))
    operations.push({ op: "solarize", threshold: solarize.threshold });
  const flip = happens(view.flip);
  const erased = erase !== undefined && happens(erase.probability) ? randomBox(erase, random, size, size) : undefined;
  return {
    crop,
    resize: { width: size, height: size },
    window: { left: 0, top: 0, width: size, height: size },
    interpolation: view.interpolation,
    flip,
    operations,
    erase: erased && { box: erased, noise: [random.bits(), random.bits()] },
  };
}

/** torchvision's RandomResizedCrop.get_params: ten tries, then the largest central crop within the ratio's bounds. */
function randomCrop({ scale, ratio }: AugmentView, random: Random, width: number, height: number): Box {
  const box = randomBox({ area: scale, ratio }, random, width, height);
  if (box !== undefined) return box;
  let [w, h] = [width, height];
  if (width / height < ratio[0]) h = Math.min(height, Math.round(width / ratio[0]));
  else if (width / height > ratio[1]) w = Math.min(width, Math.round(height * ratio[1]));
  return { left: Math.floor((width - w) / 2), top: Math.floor((height - h) / 2), width: w, height: h };
}

/**
 * A box within width × height pixels that has a share of their area, or undefined when ten tries give none. Crops and
 * erased parts are drawn alike (timm's RandomErasing draws again when a box is as wide or as high as the view).
 */
function randomBox(
  { area: share, ratio }: Pick<NonNullable<AugmentView["erase"]>, "area" | "ratio">,
  random: Random,
  width: number,
  height: number,
): Box | undefined {
  for (let attempt = 0; attempt < 10; attempt++) {
    const area = width * height * random.uniform(...share);
    const aspect = Math.exp(random.uniform(Math.log(ratio[0]), Math.log(ratio[1])));
    const w = Math.round(Math.sqrt(area * aspect));
    const h = Math.round(Math.sqrt(area / aspect));
    if (w > 0 && w <= width && h > 0 && h <= height) {
      const top = random.integer(height - h + 1);
      return { left: random.integer(width - w + 1), top, width: w, height: h };
    }
  }
  return undefined;
}

/** torchvision's ColorJitter: the four operations in random order; an operation of strength 0 is left out. */
function shuffledJitter(jitter: NonNullable<AugmentView["jitter"]>, random: Random): Operation[] {
  const factor = (strength: number) => random.uniform(Math.max(0, 1 - strength), 1 + strength);
  const order = random.permutation(4);
  const { brightness, contrast, saturation, hue } = jitter;
  const all: (Operation | undefined)[] = [
    brightness > 0 ? { op: "brightness", factor: factor(brightness) } : undefined,
    contrast > 0 ? { op: "contrast", factor: factor(contrast) } : undefined,
    saturation > 0 ? { op: "saturation", factor: factor(saturation) } : undefined,
    hue > 0 ? { op: "hue", turn: random.uniform(-hue, hue) } : undefined,
  ];
  return [...order].map((i) => all[i]).filter((operation) => operation !== undefined);
}

/** torchvision's Resize and CenterCrop: the longer side is rounded down, the offset to the nearest even pixel. */
function center({ size, resize, interpolation }: CenterView, width: number, height: number): Transform {
  const short = Math.min(width, height);
  const target = {
    width: width === short ? resize : Math.floor((resize * width) / short),
    height: height === short ? resize : Math.floor((resize * height) / short),
  };
  return {
    crop: { left: 0, top: 0, width, height },
    resize: target,
    window: { left: half(target.width - size), top: half(target.height - size), width: size, height: size },
    interpolation,
    flip: false,
    operations: [],
  };
}

/** n / 2 rounded as Python's round: ties go to the even number. */
function half(n: number): number {
  const down = Math.floor(n / 2);
  return n % 2 === 0 ? down : down + (down % 2);
}
