import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";

/** Rows divided by their Euclidean length (at least 1e-12, as in PyTorch's `normalize`). */
export function l2Normalize(x: Value): Value {
  const squares = op.reduceSum(op.mul(x, x), { axis: -1, keepdims: true });
  return op.div(x, op.maximum(op.sqrt(op.maximum(squares, 1e-24)), 1e-12));
}

/** log(sum(exp(x))) over the last axis, without overflow: [..., N] → [...]. */
export function logSumExp(x: Value): Value {
  const max = op.stopGradient(op.reduceMax(x, { axis: -1, keepdims: true }));
  const sum = op.reduceSum(op.exp(op.sub(x, max)), { axis: -1 });
  return op.add(op.log(sum), op.reshape(max, sum.shape));
}

/**
 * InfoNCE of queries [N, D] against keys [N, D], both of unit length: the positive of query n is key n, all other keys
 * are negatives. Mean over queries of -log softmax(q·k / temperature) at the positive (MoCo v3, equation 1, without its factor 2τ).
 */
export function infoNCE(queries: Value, keys: Value, temperature: number): Value {
  const logits = op.matmul(queries, keys, { transB: true, alpha: 1 / temperature });
  const positives = op.div(op.reduceSum(op.mul(queries, keys), { axis: -1 }), temperature);
  return op.reduceMean(op.sub(logSumExp(logits), positives));
}

/**
 * NT-Xent of two views' projections [N, D], both of unit length: each of the 2N is an anchor, its positive is the other
 * view of the same image, all 2N - 2 others are negatives (SimCLR, equation 1). Mean over the 2N anchors.
 */
export function ntXent(view1: Value, view2: Value, temperature: number): Value {
  const count = view1.shape[0]!;
  const all = op.concat([view1, view2], 0); // [2N, D]
  const logits = op.matmul(all, all, { transB: true, alpha: 1 / temperature });
  const self = op.oneHot(op.range(2 * count), 2 * count, all.dtype);
  const others = logSumExp(op.sub(logits, op.mul(self, 1e9))); // an anchor is not compared with itself: exp(-1e9) = 0
  const positives = op.div(op.reduceSum(op.mul(view1, view2), { axis: -1 }), temperature);
  return op.sub(op.reduceMean(others), op.reduceMean(positives));
}

/** Mean over rows of the cross entropy between logits [N, C] and class indices [N] (int64). */
export function crossEntropy(logits: Value, labels: Value): Value {
  return softCrossEntropy(logits, op.oneHot(labels, logits.shape.at(-1)!, logits.dtype));
}

/** The same for targets [N, C], each row a distribution over the classes. */
export function softCrossEntropy(logits: Value, targets: Value): Value {
  return op.neg(op.reduceMean(op.reduceSum(op.mul(op.logSoftmax(logits), targets), { axis: -1 })));
}
