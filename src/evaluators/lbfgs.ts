/** Limited-memory BFGS (Nocedal and Wright, Numerical Optimization, algorithm 7.5) with a backtracking line search. */

export interface Evaluation {
  readonly value: number;
  readonly gradient: Float64Array;
}

export interface MinimizeOptions<E extends Evaluation> {
  /** Whether a point is good enough; asked at the start and after every step. */
  readonly done: (here: E) => boolean;
  readonly maxIterations: number;
  /** Pairs of steps and gradient changes remembered (default 10). */
  readonly memory?: number;
}

export interface Minimum<E extends Evaluation> {
  readonly point: Float64Array;
  /** What was evaluated there. */
  readonly here: E;
  readonly iterations: number;
  /** False: the iterations, or the digits of the function's value, ran out before `done`. */
  readonly converged: boolean;
}

/** A minimiser of a smooth convex function, from `start`. */
export async function minimize<E extends Evaluation>(
  evaluate: (point: Float64Array) => Promise<E>,
  start: Float64Array,
  { done, maxIterations, memory = 10 }: MinimizeOptions<E>,
): Promise<Minimum<E>> {
  let point = start;
  let here = await evaluate(point);
  const pairs: { s: Float64Array; y: Float64Array; rho: number }[] = [];
  let iterations = 0;
  let converged = done(here);
  for (; !converged && iterations < maxIterations; iterations++) {
    const direction = twoLoops(here.gradient, pairs);
    const slope = dot(direction, here.gradient);
    let length = pairs.length === 0 ? Math.min(1, 1 / Math.sqrt(dot(here.gradient, here.gradient))) : 1;
    let next: E | undefined;
    let candidate = point;
    for (let attempt = 0; attempt < 20; attempt++, length /= 2) {
      candidate = point.map((x, i) => x + length * direction[i]!);
      const there = await evaluate(candidate);
      if (there.value <= here.value + 1e-4 * length * slope) {
        next = there;
        break;
      }
    }
    if (next === undefined) break; // no descent left at the engine's precision
    const s = candidate.map((x, i) => x - point[i]!);
    const y = next.gradient.map((g, i) => g - here.gradient[i]!);
    const curvature = dot(s, y);
    if (curvature > 1e-12 * Math.sqrt(dot(s, s) * dot(y, y))) {
      pairs.push({ s, y, rho: 1 / curvature });
      if (pairs.length > memory) pairs.shift();
    }
    point = candidate;
    here = next;
    converged = done(here);
  }
  return { point, here, iterations, converged };
}

/** The quasi-Newton direction from the remembered pairs. */
function twoLoops(
  gradient: Float64Array,
  pairs: readonly { s: Float64Array; y: Float64Array; rho: number }[],
): Float64Array {
  const q = gradient.map((g) => -g);
  const alphas: number[] = [];
  for (const { s, y, rho } of pairs.toReversed()) {
    const alpha = rho * dot(s, q);
    alphas.push(alpha);
    for (let i = 0; i < q.length; i++) q[i]! -= alpha * y[i]!;
  }
  const last = pairs.at(-1);
  if (last !== undefined) {
    const scale = 1 / (last.rho * dot(last.y, last.y));
    for (let i = 0; i < q.length; i++) q[i]! *= scale;
  }
  for (const [k, { s, y, rho }] of pairs.entries()) {
    const beta = rho * dot(y, q);
    const alpha = alphas[pairs.length - 1 - k]!;
    for (let i = 0; i < q.length; i++) q[i]! += (alpha - beta) * s[i]!;
  }
  return q;
}

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
}
