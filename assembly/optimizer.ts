// Passes over parameters in WebAssembly memory: one read and write of each array, four floats at a time.
// Every array starts on a 16-byte boundary and is padded with zeros to a multiple of four floats.
// Scalars come in double precision, and what is computed from them is rounded once: in single precision 1 - 0.999 would
// already be wrong in the fifth digit.

/**
 * AdamW (Loshchilov and Hutter, 2019) in PyTorch's order: w -= rate·decay·w, then the Adam update. Sets the gradient to
 * zero, ready to be accumulated again. `g·scale` is the gradient that counts (clipping).
 */
export function adamw(
  w: usize,
  g: usize,
  m: usize,
  v: usize,
  length: i32,
  rate: f64,
  decay: f64,
  beta1: f64,
  beta2: f64,
  epsilon: f64,
  correction1: f64, // 1 - beta1^t
  correction2: f64, // 1 - beta2^t
  scale: f64,
): void {
  const keep = f32x4.splat(<f32>(1 - rate * decay));
  const b1 = f32x4.splat(<f32>beta1);
  const a1 = f32x4.splat(<f32>(1 - beta1));
  const b2 = f32x4.splat(<f32>beta2);
  const a2 = f32x4.splat(<f32>(1 - beta2));
  const eps = f32x4.splat(<f32>epsilon);
  const step = f32x4.splat(<f32>(rate / correction1));
  const root = f32x4.splat(<f32>(1 / sqrt<f64>(correction2)));
  const factor = f32x4.splat(<f32>scale);
  const zero = f32x4.splat(0);
  const end = w + ((<usize>length) << 2);
  while (w < end) {
    const gradient = f32x4.mul(v128.load(g), factor);
    const first = f32x4.add(f32x4.mul(v128.load(m), b1), f32x4.mul(gradient, a1));
    const second = f32x4.add(f32x4.mul(v128.load(v), b2), f32x4.mul(f32x4.mul(gradient, gradient), a2));
    const denominator = f32x4.add(f32x4.mul(f32x4.sqrt(second), root), eps);
    const update = f32x4.div(f32x4.mul(first, step), denominator);
    v128.store(w, f32x4.sub(f32x4.mul(v128.load(w), keep), update));
    v128.store(m, first);
    v128.store(v, second);
    v128.store(g, zero);
    w += 16;
    g += 16;
    m += 16;
    v += 16;
  }
}

/** target = momentum·target + (1 - momentum)·source */
export function average(target: usize, source: usize, length: i32, momentum: f64): void {
  const keep = f32x4.splat(<f32>momentum);
  const take = f32x4.splat(<f32>(1 - momentum));
  const end = target + ((<usize>length) << 2);
  while (target < end) {
    v128.store(target, f32x4.add(f32x4.mul(v128.load(target), keep), f32x4.mul(v128.load(source), take)));
    target += 16;
    source += 16;
  }
}

/** Sum of squares: four running sums in single precision per block of 4,096, blocks in double precision. */
export function sumOfSquares(x: usize, length: i32): f64 {
  const end = x + ((<usize>length) << 2);
  let total: f64 = 0;
  while (x < end) {
    const stop = min<usize>(end, x + 16384);
    let sums = f32x4.splat(0);
    while (x < stop) {
      const value = v128.load(x);
      sums = f32x4.add(sums, f32x4.mul(value, value));
      x += 16;
    }
    total += <f64>f32x4.extract_lane(sums, 0) + <f64>f32x4.extract_lane(sums, 1);
    total += <f64>f32x4.extract_lane(sums, 2) + <f64>f32x4.extract_lane(sums, 3);
  }
  return total;
}
