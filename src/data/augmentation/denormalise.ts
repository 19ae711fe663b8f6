import type { Pixels } from "../source.ts";
import type { CenterView } from "./views.ts";

/** The picture behind normalised planes [3, S, S]: the view's normalisation undone and rounded to 8 bits. */
export function denormalise(planes: Float32Array, { size, mean, std }: CenterView): Pixels {
  const count = size ** 2;
  const data = new Uint8Array(3 * count);
  for (let channel = 0; channel < 3; channel++)
    for (let i = 0; i < count; i++) {
      const level = 255 * (planes[channel * count + i]! * std[channel]! + mean[channel]!);
      data[3 * i + channel] = Math.max(0, Math.min(255, Math.round(level)));
    }
  return { width: size, height: size, data };
}
