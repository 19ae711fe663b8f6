import { sizeOf } from "../tensor/shape.ts";
import * as op from "../graph/ops/index.ts";
import { recomputed } from "../graph/recompute.ts";
import type { Value } from "../graph/value.ts";
import { type Initializer, ones, xavierUniform, zeros } from "./init.ts";
import type { Scope } from "./scope.ts";

export interface LinearOptions {
  bias?: boolean;
  weightInit?: Initializer;
  biasInit?: Initializer;
  /** No gradient reaches the bias (default: it does). */
  fixedBias?: boolean;
}

/** x W' + b: [..., in] → [..., out]. Weight [out, in], as in PyTorch. */
export function linear(
  p: Scope,
  x: Value,
  out: number,
  { bias = true, weightInit = xavierUniform(), biasInit = zeros, fixedBias = false }: LinearOptions = {},
): Value {
  const weight = p.parameter("weight", [out, x.shape.at(-1)!], weightInit);
  if (!bias) return project(x, weight);
  const shift = p.parameter("bias", [out], biasInit);
  return project(x, weight, fixedBias ? op.stopGradient(shift) : shift);
}

/** x weight' + bias for variables at hand. */
export function project(x: Value, weight: Value, bias?: Value): Value {
  const [out, width] = weight.shape as [number, number];
  const rows = op.reshape(x, [sizeOf(x.shape) / width, width]);
  const y = op.gemm(rows, weight, { transB: true, ...(bias === undefined ? {} : { c: bias }) });
  return op.reshape(y, [...x.shape.slice(0, -1), out]);
}

/** Layer normalisation of the last axis. `fixedBias`: no gradient reaches the bias. */
export function norm(p: Scope, x: Value, { fixedBias = false } = {}): Value {
  const shape = [x.shape.at(-1)!];
  const bias = p.parameter("bias", shape, zeros);
  return op.layerNorm(x, p.parameter("weight", shape, ones), fixedBias ? op.stopGradient(bias) : bias, 1e-6);
}

export interface AttentionOptions {
  heads: number;
  weightInit?: Initializer;
  /** Only the first `queries` tokens ask (default: all): the result has that many tokens. */
  queries?: number;
  /** Is shown the attention, [B, heads, queries, N]. */
  onWeights?(weights: Value): void;
}

/** Multi-head self-attention: [B, N, D] → [B, queries, D]. */
export function attention(p: Scope, x: Value, { heads, weightInit, queries, onWeights }: AttentionOptions): Value {
  const [batch, tokens, width] = x.shape as [number, number, number];
  const asked = queries ?? tokens;
  const channels = width / heads;
  const init = weightInit ?? xavierUniform();
  const weight = p.at("qkv").parameter("weight", [3 * width, width], init);
  const bias = p.at("qkv").parameter("bias", [3 * width], zeros);
  // One product each: three results that need not be cut apart, nor their gradients put together.
  const part = (i: number, z: Value) => {
    const [rows, shift] = [weight, bias].map((all) => op.slice(all, 0, i * width, (i + 1) * width)) as [Value, Value];
    // The bias of the keys adds the same number to all scores of a query, which softmax ignores: its gradient is exactly
    // zero. Computed, it would be rounding noise that Adam turns into full-size steps, so it is left out.
    const projected = project(z, rows, i === 1 ? undefined : shift);
    return op.transpose(op.reshape(projected, [batch, -1, heads, channels]), [0, 2, 1, 3]);
  };
  const q = part(0, asked === tokens ? x : op.slice(x, 1, 0, asked)); // [B, heads, asked, channels]
  const [k, v] = [part(1, x), part(2, x)]; // [B, heads, N, channels]
  const weights = op.softmax(op.matmul(q, k, { transB: true, alpha: channels ** -0.5 })); // [B, heads, asked, N]
  onWeights?.(weights);
  const mixed = op.reshape(op.transpose(op.matmul(weights, v), [0, 2, 1, 3]), [batch, asked, width]);
  return linear(p.at("proj"), mixed, width);
}

/** Two linear layers with GELU between them. */
export function mlp(p: Scope, x: Value, hidden: number): Value {
  return linear(p.at("fc2"), op.gelu(linear(p.at("fc1"), x, hidden)), x.shape.at(-1)!);
}

export interface BlockOptions extends AttentionOptions {
  /** Hidden width of the MLP over the width (default 4). */
  mlpRatio?: number;
  /** Per sample factors on what attention and MLP add, [B, 1, 1] each (default: 1). */
  branches?: { attention: Value; mlp: Value };
}

/** A pre-norm transformer block: [B, N, D] → [B, queries, D]. */
export function block(p: Scope, x: Value, { mlpRatio = 4, branches, ...options }: BlockOptions): Value {
  const scaled = (branch: Value, factor: Value | undefined) => (factor === undefined ? branch : op.mul(branch, factor));
  const attended = attention(p.at("attn"), norm(p.at("norm1"), x), options);
  const residual = options.queries === undefined ? x : op.slice(x, 1, 0, options.queries);
  const y = op.add(residual, scaled(attended, branches?.attention));
  const transformed = mlp(p.at("mlp"), norm(p.at("norm2"), y), mlpRatio * y.shape.at(-1)!);
  const z = op.add(y, scaled(transformed, branches?.mlp));
  return p.recompute ? recomputed(z, x) : z;
}

/**
 * Batch normalisation in training mode over axis -2: [..., N, C]. Leading axes are separate batches (MoCo v3's two
 * views); each moves the running statistics in turn, as separate calls in PyTorch do. Momentum 0.1.
 */
export function batchNorm(p: Scope, x: Value, { affine = true, epsilon = 1e-5 } = {}): Value {
  const [samples, channels] = x.shape.slice(-2) as [number, number];
  if (samples < 2) throw new Error(`batch normalisation needs two samples or more, but the batch has ${samples}`);
  const mean = op.reduceMean(x, { axis: -2, keepdims: true });
  const centered = op.sub(x, mean);
  const variance = op.reduceMean(op.mul(centered, centered), { axis: -2, keepdims: true });
  const normalized = op.div(centered, op.sqrt(op.add(variance, epsilon)));

  const track = (name: string, statistic: Value, init: Initializer, factor: number) => {
    const batches = op.reshape(op.stopGradient(statistic), [-1, channels]);
    for (let i = 0; i < batches.shape[0]!; i++) {
      const now = op.mul(op.reshape(op.slice(batches, 0, i, i + 1), [channels]), 0.1 * factor);
      p.update(name, op.add(op.mul(p.buffer(name, [channels], init), 0.9), now));
    }
  };
  track("running_mean", mean, zeros, 1);
  track("running_var", variance, ones, samples / (samples - 1)); // PyTorch tracks the unbiased variance
  if (!affine) return normalized;
  const weight = p.parameter("weight", [channels], ones);
  return op.add(op.mul(normalized, weight), p.parameter("bias", [channels], zeros));
}
