/**
 * RandAugment (Cubuk et al., "RandAugment: Practical automated data augmentation with a reduced search space", 2020) as
 * timm's `rand-m9-mstd0.5-inc1` has it, with which the paper fine-tunes: the "increasing" set of 15 operations, most of
 * which do more the larger the magnitude is. One difference: affine operations interpolate bilinearly, where timm takes
 * the method of the crops (bicubic in the paper).
 */
import type { Random } from "../../tensor/random.ts";
import type { Matrix, Operation } from "./transform.ts";
import type { AugmentView } from "./views.ts";

/** Draws which operations a view gets and how strong they are; the same one may come twice. */
export function drawRandAugment(
  { operations, magnitude, deviation, probability }: NonNullable<AugmentView["randAugment"]>,
  view: AugmentView,
  random: Random,
): Operation[] {
  const drawn: Operation[] = [];
  for (let i = 0; i < operations; i++) {
    const make = makers[random.integer(makers.length)]!;
    if (random.uniform() >= probability) continue;
    const strength = Math.min(Math.max(magnitude + deviation * random.normal(), 0), 10) / 10;
    drawn.push(make(strength, random.uniform() < 0.5 ? strength : -strength, view));
  }
  return drawn;
}

/** An operation of a strength from 0 to 1; `signed` is the same in a random direction. */
type Maker = (strength: number, signed: number, view: AugmentView) => Operation;

const makers: readonly Maker[] = [
  () => ({ op: "autocontrast" }),
  () => ({ op: "equalize" }),
  () => ({ op: "invert" }),
  (strength) => ({ op: "posterize", bits: 4 - Math.floor(4 * strength) }),
  (strength) => ({ op: "solarize", threshold: 256 - Math.floor(256 * strength) }),
  (strength) => ({ op: "solarizeAdd", amount: Math.floor(110 * strength) }),
  (_, signed) => ({ op: "brightness", factor: 1 + 0.9 * signed }),
  (_, signed) => ({ op: "contrast", factor: 1 + 0.9 * signed }),
  (_, signed) => ({ op: "saturation", factor: 1 + 0.9 * signed }),
  (_, signed) => ({ op: "sharpness", factor: 1 + 0.9 * signed }),
  (_, signed, view) => affine(view, rotation(30 * signed, view.size)),
  (_, signed, view) => affine(view, [1, 0.3 * signed, 0, 0, 1, 0]),
  (_, signed, view) => affine(view, [1, 0, 0, 0.3 * signed, 1, 0]),
  (_, signed, view) => affine(view, [1, 0, 0.45 * signed * view.size, 0, 1, 0]),
  (_, signed, view) => affine(view, [1, 0, 0, 0, 1, 0.45 * signed * view.size]),
];

/** What comes in from outside has the mean colour. */
function affine({ mean }: AugmentView, matrix: Matrix): Operation {
  const [red, green, blue] = mean;
  const fill = [Math.round(255 * red), Math.round(255 * green), Math.round(255 * blue)] as const;
  return { op: "affine", matrix, fill };
}

/** Turns an image of size × size counter-clockwise around its middle. */
export function rotation(degrees: number, size: number): Matrix {
  const angle = (degrees * Math.PI) / 180;
  const [sin, cos] = [Math.sin(angle), Math.cos(angle)];
  const middle = size / 2;
  return [cos, -sin, middle * (1 - cos + sin), sin, cos, middle * (1 - sin - cos)];
}
