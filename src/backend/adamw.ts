import type { Block } from "./memory.ts";

/** Constants of AdamW (Loshchilov and Hutter, 2019). */
export interface AdamWOptions {
  readonly betas: readonly [number, number];
  readonly epsilon: number;
  readonly weightDecay: number;
}

/**
 * One AdamW update of a block with arrays `w`, `g`, `m`, `v` in place, as PyTorch computes it; clears `g`.
 * `step` counts from 1; `scale` multiplies the gradient (clipping).
 */
export function adamw(
  { kernel, pointers, length }: Block,
  { betas: [beta1, beta2], epsilon, weightDecay }: AdamWOptions,
  { step, rate, decay, scale = 1 }: { step: number; rate: number; decay: boolean; scale?: number },
) {
  const { w, g, m, v } = pointers as Record<"w" | "g" | "m" | "v", number>;
  const corrections = [1 - beta1 ** step, 1 - beta2 ** step] as const;
  kernel.adamw(w, g, m, v, length, rate, decay ? weightDecay : 0, beta1, beta2, epsilon, ...corrections, scale);
}
