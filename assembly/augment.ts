// Image augmentation on 32-bit floats, one image at a time: the kernel behind src/data/augmentation/augment.ts.
//
// Colours are 0 to 255. A canvas is three planes (R, G, B) of width × height floats, `stride` floats apart, with
// stride >= width * height + 16: loops work on four or sixteen values and may write up to fifteen past the end of a plane,
// into the gap. JavaScript owns the memory and passes byte addresses.
// Operations follow PIL (and torchvision on PIL images) without its rounding to 8 bits after each of them; those that are
// defined by levels (posterize, autocontrast, equalize) round to the nearest one first.

/** First byte that JavaScript may use. */
export function heapBase(): usize {
  return __heap_base;
}

/**
 * Antialiased resampling weights of one axis, as PIL's precompute_coeffs: `size` input pixels become `target` pixels,
 * of which the `count` from `first` on are wanted. `filter`: 0 triangle (bilinear), 1 cubic with a = -0.5 (bicubic).
 * Writes per output pixel its first input pixel and their number to `bounds` (2 × i32) and weights to `weights`
 * (`taps` f32, taps >= 2 * ceil(support) + 1 where support = (filter + 1) * max(size / target, 1)).
 */
export function weigh(
  filter: i32,
  size: i32,
  target: i32,
  first: i32,
  count: i32,
  bounds: usize,
  weights: usize,
  taps: i32,
): void {
  const scale = <f64>size / <f64>target;
  const stretch = max(scale, 1.0);
  const support = <f64>(filter + 1) * stretch;
  for (let i = 0; i < count; i++) {
    const center = (<f64>(first + i) + 0.5) * scale;
    const from = max(<i32>(center - support + 0.5), 0);
    const to = min(<i32>(center + support + 0.5), size);
    const row = weights + ((<usize>i * taps) << 2);
    let sum: f64 = 0;
    for (let t = 0; t < to - from; t++) {
      const w = lobe(filter, (<f64>(from + t) - center + 0.5) / stretch);
      sum += w;
      store<f32>(row + ((<usize>t) << 2), <f32>w);
    }
    const inverse = <f32>(1.0 / sum);
    for (let t = 0; t < to - from; t++) {
      const at = row + ((<usize>t) << 2);
      store<f32>(at, load<f32>(at) * inverse);
    }
    store<i32>(bounds + ((<usize>i) << 3), from);
    store<i32>(bounds + ((<usize>i) << 3), to - from, 4);
  }
}

function lobe(filter: i32, distance: f64): f64 {
  const x = abs(distance);
  if (filter == 0) return max(1.0 - x, 0.0);
  if (x < 1.0) return (1.5 * x - 2.5) * x * x + 1.0;
  if (x < 2.0) return ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0;
  return 0.0;
}

/**
 * Resamples interleaved 8-bit RGB at `source` (rows `pitch` bytes apart, readable 16 bytes past the end) onto a canvas
 * of width × height, mirrored when `flip`. As in PIL, rows come first and are clamped before columns follow, which
 * shows where bicubic overshoots. Scratch: `line` holds 4 * ((source columns) * 3 + 20) floats, `middle` three planes of
 * `room` rows of (width rounded up to 16) floats, where room >= tapsY + 7: the rows that the next columns are made of.
 */
export function resample(
  source: usize,
  pitch: i32,
  boundsX: usize,
  weightsX: usize,
  tapsX: i32,
  boundsY: usize,
  weightsY: usize,
  tapsY: i32,
  width: i32,
  height: i32,
  flip: i32,
  line: usize,
  middle: usize,
  room: i32,
  canvas: usize,
  stride: i32,
): void {
  const lastX = boundsX + ((<usize>(width - 1)) << 3);
  const begin = load<i32>(boundsX) * 3;
  const end = (load<i32>(lastX) + load<i32>(lastX, 4)) * 3;
  const lastY = boundsY + ((<usize>(height - 1)) << 3);
  const bottom = load<i32>(lastY) + load<i32>(lastY, 4);
  const across = (<usize>((width + 15) & ~15)) << 2;
  const half = <usize>room * across;
  const plane = (<usize>stride) << 2;
  let first = load<i32>(boundsY); // the row that `middle` begins with
  let next = first; // the first one that is still to be resampled
  for (let y = 0; y < height; y++) {
    const top = load<i32>(boundsY + ((<usize>y) << 3));
    const count = load<i32>(boundsY + ((<usize>y) << 3), 4);
    while (next < top + count) {
      if (next + 4 - first > room) {
        for (let p: usize = 0; p < 3; p++) {
          const begin = middle + p * half;
          memory.copy(begin, begin + <usize>(top - first) * across, <usize>(next - top) * across);
        }
        first = top;
      }
      for (let c = begin; c < end; c += 16)
        spread(
          v128.load(source + <usize>(next * pitch + c)),
          v128.load(source + <usize>(min(next + 1, bottom - 1) * pitch + c)),
          v128.load(source + <usize>(min(next + 2, bottom - 1) * pitch + c)),
          v128.load(source + <usize>(min(next + 3, bottom - 1) * pitch + c)),
          line + ((<usize>c) << 4),
        );
      fourRows(line, boundsX, weightsX, tapsX, width, flip, middle + <usize>(next - first) * across, across, half);
      next += 4;
    }
    const column = weightsY + ((<usize>y * tapsY) << 2);
    const stop = column + ((<usize>count) << 2);
    for (let p: usize = 0; p < 3; p++) {
      const rows = middle + p * half + <usize>(top - first) * across;
      const to = canvas + p * plane + ((<usize>(y * width)) << 2);
      for (let x: usize = 0; x < (<usize>width) << 2; x += 64) {
        let at = rows + x;
        let a = f32x4.splat(0);
        let b = a;
        let c = a;
        let d = a;
        for (let weight = column; weight < stop; weight += 4) {
          const w = v128.load32_splat(weight);
          a = f32x4.add(a, f32x4.mul(w, v128.load(at)));
          b = f32x4.add(b, f32x4.mul(w, v128.load(at, 16)));
          c = f32x4.add(c, f32x4.mul(w, v128.load(at, 32)));
          d = f32x4.add(d, f32x4.mul(w, v128.load(at, 48)));
          at += across;
        }
        v128.store(to + x, clamp(a));
        v128.store(to + x, clamp(b), 16);
        v128.store(to + x, clamp(c), 32);
        v128.store(to + x, clamp(d), 48);
      }
    }
  }
}

/** Resamples four rows that lie in `line` side by side, to rows `across` bytes apart in planes `half` bytes apart. */
function fourRows(
  line: usize,
  bounds: usize,
  weights: usize,
  taps: i32,
  width: i32,
  flip: i32,
  to: usize,
  across: usize,
  half: usize,
): void {
  for (let x = 0; x < width; x += 4) {
    // Four pixels; past the last one it is repeated.
    for (let i = 0; i < 4; i++) {
      const column = min(x + i, width - 1);
      const place = <usize>(flip ? width - 1 - column : column);
      let at = line + <usize>load<i32>(bounds + (place << 3)) * 48;
      let weight = weights + ((place * <usize>taps) << 2);
      const stop = weight + ((<usize>load<i32>(bounds + (place << 3), 4)) << 2);
      let r = f32x4.splat(0);
      let g = r;
      let b = r;
      for (; weight < stop; weight += 4) {
        const w = v128.load32_splat(weight);
        r = f32x4.add(r, f32x4.mul(w, v128.load(at)));
        g = f32x4.add(g, f32x4.mul(w, v128.load(at, 16)));
        b = f32x4.add(b, f32x4.mul(w, v128.load(at, 32)));
        at += 48;
      }
      const kept = quad + ((<usize>i) << 4);
      v128.store(kept, clamp(r));
      v128.store(kept, clamp(g), 64);
      v128.store(kept, clamp(b), 128);
    }
    for (let p: usize = 0; p < 3; p++) transpose(quad + (p << 6), to + p * half, across);
    to += 16;
  }
}

/** Four pixels of four rows for each of three channels. */
const quad = memory.data(3 * 4 * 16, 16);
/** 16 places of four rows. */
const mixed = memory.data(4 * 16, 16);

/** 16 bytes of four rows as floats: for each place the four rows. */
function spread(a: v128, b: v128, c: v128, d: v128, to: usize): void {
  let even = v128.shuffle<i8>(a, c, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  let odd = v128.shuffle<i8>(b, d, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  v128.store(mixed, v128.shuffle<i8>(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
  v128.store(mixed, v128.shuffle<i8>(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 16);
  even = v128.shuffle<i8>(a, c, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  odd = v128.shuffle<i8>(b, d, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  v128.store(mixed, v128.shuffle<i8>(even, odd, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23), 32);
  v128.store(mixed, v128.shuffle<i8>(even, odd, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31), 48);
  for (let from = mixed; from < mixed + 64; from += 16) {
    const bytes = v128.load(from);
    const low = i16x8.extend_low_i8x16_u(bytes);
    const high = i16x8.extend_high_i8x16_u(bytes);
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(low)));
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(low)), 16);
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(high)), 32);
    v128.store(to, f32x4.convert_i32x4_s(i32x4.extend_high_i16x8_u(high)), 48);
    to += 64;
  }
}

/** Transposes 4 × 4 floats, to rows `across` bytes apart. */
function transpose(from: usize, to: usize, across: usize): void {
  const a = v128.load(from);
  const b = v128.load(from, 16);
  const c = v128.load(from, 32);
  const d = v128.load(from, 48);
  const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
  const ab2 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
  const cd = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
  const cd2 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
  v128.store(to, v128.shuffle<i64>(ab, cd, 0, 2));
  v128.store(to + across, v128.shuffle<i64>(ab, cd, 1, 3));
  v128.store(to + 2 * across, v128.shuffle<i64>(ab2, cd2, 0, 2));
  v128.store(to + 3 * across, v128.shuffle<i64>(ab2, cd2, 1, 3));
}

function luma(r: v128, g: v128, b: v128): v128 {
  return f32x4.add(
    f32x4.add(f32x4.mul(r, f32x4.splat(0.299)), f32x4.mul(g, f32x4.splat(0.587))),
    f32x4.mul(b, f32x4.splat(0.114)),
  );
}

function clamp(x: v128): v128 {
  return f32x4.pmin(f32x4.pmax(x, f32x4.splat(0)), f32x4.splat(255));
}

/** x * factor + offset over `count` values, kept in 0 to 255: brightness, and the blend of contrast. */
function linear(from: usize, count: i32, factor: f32, offset: f32): void {
  const m = f32x4.splat(factor);
  const o = f32x4.splat(offset);
  const end = from + ((<usize>count) << 2);
  for (; from < end; from += 16) v128.store(from, clamp(f32x4.add(f32x4.mul(v128.load(from), m), o)));
}

/** Blend with black. */
export function brightness(canvas: usize, count: i32, stride: i32, factor: f32): void {
  linear(canvas, count, factor, 0);
  linear(canvas + ((<usize>stride) << 2), count, factor, 0);
  linear(canvas + ((<usize>stride) << 3), count, factor, 0);
}

/** Blend with the image's mean luma, rounded to a whole level as PIL does. */
export function contrast(canvas: usize, count: i32, stride: i32, factor: f32): void {
  const plane = (<usize>stride) << 2;
  let mean: f64 = 0;
  for (let p: usize = 0; p < 3; p++) {
    let sum = f32x4.splat(0);
    let i: i32 = 0;
    for (; i + 4 <= count; i += 4) sum = f32x4.add(sum, v128.load(canvas + p * plane + ((<usize>i) << 2)));
    let total =
      <f64>f32x4.extract_lane(sum, 0) +
      <f64>f32x4.extract_lane(sum, 1) +
      <f64>f32x4.extract_lane(sum, 2) +
      <f64>f32x4.extract_lane(sum, 3);
    for (; i < count; i++) total += <f64>load<f32>(canvas + p * plane + ((<usize>i) << 2));
    mean += total * (p == 0 ? 0.299 : p == 1 ? 0.587 : 0.114);
  }
  const level = <f32>Math.floor(mean / <f64>count + 0.5);
  for (let p: usize = 0; p < 3; p++) linear(canvas + p * plane, count, factor, level * (1 - factor));
}

/** Blend with each pixel's own luma; factor 0 is greyscale. */
export function saturation(canvas: usize, count: i32, stride: i32, factor: f32): void {
  const plane = (<usize>stride) << 2;
  const keep = f32x4.splat(factor);
  const rest = f32x4.splat(1 - factor);
  const end = canvas + ((<usize>count) << 2);
  for (let at = canvas; at < end; at += 16) {
    const r = v128.load(at);
    const g = v128.load(at + plane);
    const b = v128.load(at + 2 * plane);
    const grey = f32x4.mul(luma(r, g, b), rest);
    v128.store(at, clamp(f32x4.add(f32x4.mul(r, keep), grey)));
    v128.store(at + plane, clamp(f32x4.add(f32x4.mul(g, keep), grey)));
    v128.store(at + 2 * plane, clamp(f32x4.add(f32x4.mul(b, keep), grey)));
  }
}

/** Turns the hue by `turn` of a full circle in HSV, where value and saturation stay. */
export function hue(canvas: usize, count: i32, stride: i32, turn: f32): void {
  const plane = (<usize>stride) << 2;
  const end = canvas + ((<usize>count) << 2);
  const zero = f32x4.splat(0);
  const tiny = f32x4.splat(1e-6);
  const shift = f32x4.splat(turn * 6);
  for (let at = canvas; at < end; at += 16) {
    const r = v128.load(at);
    const g = v128.load(at + plane);
    const b = v128.load(at + 2 * plane);
    const value = f32x4.pmax(f32x4.pmax(r, g), b);
    const chroma = f32x4.sub(value, f32x4.pmin(f32x4.pmin(r, g), b));
    // Sixths of the circle: (g - b) / c where red is largest, 2 + (b - r) / c for green, 4 + (r - g) / c for blue.
    const isRed = f32x4.eq(value, r);
    const isGreen = f32x4.eq(value, g);
    const difference = v128.bitselect(
      f32x4.sub(g, b),
      v128.bitselect(f32x4.sub(b, r), f32x4.sub(r, g), isGreen),
      isRed,
    );
    const sector = v128.bitselect(zero, v128.bitselect(f32x4.splat(2), f32x4.splat(4), isGreen), isRed);
    const sixths = f32x4.add(f32x4.add(sector, f32x4.div(difference, f32x4.pmax(chroma, tiny))), shift);
    v128.store(at, channel(value, chroma, sixths, 5));
    v128.store(at + plane, channel(value, chroma, sixths, 3));
    v128.store(at + 2 * plane, channel(value, chroma, sixths, 1));
  }
}

/** HSV to one channel: value - chroma * clamp(min(k, 4 - k), 0, 1) with k = (n + sixths) mod 6. */
function channel(value: v128, chroma: v128, sixths: v128, n: f32): v128 {
  let k = f32x4.add(sixths, f32x4.splat(n));
  k = f32x4.sub(k, f32x4.mul(f32x4.floor(f32x4.mul(k, f32x4.splat(<f32>(1.0 / 6.0)))), f32x4.splat(6)));
  const slope = f32x4.pmin(k, f32x4.sub(f32x4.splat(4), k));
  const share = f32x4.pmin(f32x4.pmax(slope, f32x4.splat(0)), f32x4.splat(1));
  return f32x4.sub(value, f32x4.mul(chroma, share));
}

/** Inverts values from `threshold` on. */
export function solarize(canvas: usize, count: i32, stride: i32, threshold: f32): void {
  const limit = f32x4.splat(threshold);
  const full = f32x4.splat(255);
  for (let p: usize = 0; p < 3; p++) {
    let at = canvas + ((p * stride) << 2);
    const end = at + ((<usize>count) << 2);
    for (; at < end; at += 16) {
      const x = v128.load(at);
      v128.store(at, v128.bitselect(f32x4.sub(full, x), x, f32x4.ge(x, limit)));
    }
  }
}

/** Adds `amount` to values below 128. */
export function solarizeAdd(canvas: usize, count: i32, stride: i32, amount: f32): void {
  const more = f32x4.splat(amount);
  const limit = f32x4.splat(128);
  for (let p: usize = 0; p < 3; p++) {
    let at = canvas + ((p * stride) << 2);
    const end = at + ((<usize>count) << 2);
    for (; at < end; at += 16) {
      const x = v128.load(at);
      v128.store(at, v128.bitselect(clamp(f32x4.add(x, more)), x, f32x4.lt(x, limit)));
    }
  }
}

export function invert(canvas: usize, count: i32, stride: i32): void {
  for (let p: usize = 0; p < 3; p++) linear(canvas + ((p * stride) << 2), count, -1, 255);
}

/** Rounds to whole levels, and these down to multiples of `step`. */
export function posterize(canvas: usize, count: i32, stride: i32, step: f32): void {
  const half = f32x4.splat(0.5);
  const width = f32x4.splat(step);
  for (let p: usize = 0; p < 3; p++) {
    let at = canvas + ((p * stride) << 2);
    const end = at + ((<usize>count) << 2);
    for (; at < end; at += 16) {
      const steps = f32x4.floor(f32x4.div(f32x4.add(v128.load(at), half), width));
      v128.store(at, f32x4.mul(steps, width));
    }
  }
}

/** The nearest whole level of a value in 0 to 255. */
function level(at: usize): i32 {
  return <i32>(load<f32>(at) + 0.5);
}

/** Stretches each channel so that its lowest level becomes 0 and its highest 255. */
export function autocontrast(canvas: usize, count: i32, stride: i32): void {
  for (let p: usize = 0; p < 3; p++) {
    const plane = canvas + ((p * stride) << 2);
    let low = 255;
    let high = 0;
    for (let i: usize = 0; i < <usize>count; i++) {
      const value = level(plane + (i << 2));
      low = min(low, value);
      high = max(high, value);
    }
    if (high <= low) continue;
    const factor = <f32>255 / <f32>(high - low);
    linear(plane, count, factor, -factor * <f32>low);
  }
}

const histogram = memory.data(256 * 4);

/**
 * Spreads the levels of each channel so that all are about as frequent, as PIL does: in whole steps of pixels, which
 * do nothing below 255 pixels.
 */
export function equalize(canvas: usize, count: i32, stride: i32): void {
  for (let p: usize = 0; p < 3; p++) {
    const plane = canvas + ((p * stride) << 2);
    memory.fill(histogram, 0, 256 * 4);
    let highest = 0;
    for (let i: usize = 0; i < <usize>count; i++) {
      const value = level(plane + (i << 2));
      const bin = histogram + ((<usize>value) << 2);
      store<i32>(bin, load<i32>(bin) + 1);
      highest = max(highest, value);
    }
    const step = (count - load<i32>(histogram + ((<usize>highest) << 2))) / 255;
    if (step == 0) continue;
    // From here on the histogram holds the new level of each level.
    let below = step / 2;
    for (let bin = histogram; bin < histogram + 256 * 4; bin += 4) {
      const next = below + load<i32>(bin);
      store<i32>(bin, min(below / step, 255));
      below = next;
    }
    for (let i: usize = 0; i < <usize>count; i++) {
      const at = plane + (i << 2);
      store<f32>(at, <f32>load<i32>(histogram + ((<usize>level(at)) << 2)));
    }
  }
}

/**
 * Blend with a smoothed image: each pixel counts 5 of 13, its eight neighbours 1. Pixels at the edges stay, as PIL
 * leaves them. Scratch: `plane` holds one plane (stride floats).
 */
export function sharpness(canvas: usize, width: i32, height: i32, stride: i32, factor: f32, plane: usize): void {
  if (width < 3 || height < 3) return;
  const pitch = (<usize>width) << 2;
  const last = <usize>(height - 1) * pitch;
  // factor * x + (1 - factor) * (4 * x + sum of nine) / 13
  const others = f32x4.splat((1 - factor) / 13);
  const own = f32x4.splat(factor + ((1 - factor) * 4) / 13);
  for (let p: usize = 0; p < 3; p++) {
    const base = canvas + ((p * stride) << 2);
    memory.copy(plane, base, last + pitch);
    for (let row = pitch; row < last; row += pitch) {
      for (let x: usize = 4; x < pitch - 4; x += 16) {
        const at = plane + row + x;
        let sum = f32x4.splat(0);
        for (let line = at - pitch; line <= at + pitch; line += pitch) {
          const sides = f32x4.add(v128.load(line - 4), v128.load(line + 4));
          sum = f32x4.add(sum, f32x4.add(v128.load(line), sides));
        }
        v128.store(base + row + x, clamp(f32x4.add(f32x4.mul(v128.load(at), own), f32x4.mul(sum, others))));
      }
      // The last four values may reach over the right edge into the next row, which is still to come or put back.
      store<f32>(base + row + pitch - 4, load<f32>(plane + row + pitch - 4));
      store<f32>(base + row + pitch, load<f32>(plane + row + pitch));
    }
    memory.copy(base + last, plane + last, pitch);
  }
}

/**
 * Moves the image: the middle of pixel (x, y) shows what was at (a x + b y + c, d x + e y + f), bilinear, or the colour
 * (r, g, b) where that is outside the image. Scratch: `plane` holds one plane (stride floats).
 */
export function affine(
  canvas: usize,
  width: i32,
  height: i32,
  stride: i32,
  a: f64,
  b: f64,
  c: f64,
  d: f64,
  e: f64,
  f: f64,
  red: f32,
  green: f32,
  blue: f32,
  plane: usize,
): void {
  for (let p: usize = 0; p < 3; p++) {
    let to = canvas + ((p * stride) << 2);
    memory.copy(plane, to, (<usize>(width * height)) << 2);
    const fill = p == 0 ? red : p == 1 ? green : blue;
    for (let row = 0; row < height; row++) {
      const y = <f64>row + 0.5;
      for (let column = 0; column < width; column++) {
        const x = <f64>column + 0.5;
        store<f32>(to, bilinear(plane, width, height, a * x + b * y + c, d * x + e * y + f, fill));
        to += 4;
      }
    }
  }
}

function bilinear(plane: usize, width: i32, height: i32, x: f64, y: f64, fill: f32): f32 {
  if (x < 0 || x >= <f64>width || y < 0 || y >= <f64>height) return fill;
  const left = <i32>floor(x - 0.5);
  const top = <i32>floor(y - 0.5);
  const right = <f32>(x - 0.5 - <f64>left);
  const bottom = <f32>(y - 0.5 - <f64>top);
  const upper = plane + ((<usize>(max(top, 0) * width)) << 2);
  const lower = plane + ((<usize>(min(top + 1, height - 1) * width)) << 2);
  const from = (<usize>max(left, 0)) << 2;
  const to = (<usize>min(left + 1, width - 1)) << 2;
  const above = load<f32>(upper + from) * (1 - right) + load<f32>(upper + to) * right;
  const below = load<f32>(lower + from) * (1 - right) + load<f32>(lower + to) * right;
  return above * (1 - bottom) + below * bottom;
}

/**
 * Separable blur by a symmetric window, edges replicated. `weights`: radius + 1 floats, centre first, that sum to 1
 * when mirrored.
 * Scratch: `line` holds width + 2 * radius + 4 floats, `plane` one plane (stride floats).
 */
export function blur(
  canvas: usize,
  width: i32,
  height: i32,
  stride: i32,
  weights: usize,
  radius: i32,
  line: usize,
  plane: usize,
): void {
  const pitch = (<usize>width) << 2;
  const middle = line + ((<usize>radius) << 2);
  const center = v128.load32_splat(weights);
  for (let p: usize = 0; p < 3; p++) {
    const base = canvas + ((p * stride) << 2);
    for (let y: usize = 0; y < <usize>height; y++) {
      const row = base + y * pitch;
      memory.copy(middle, row, pitch);
      const left = load<f32>(row);
      const right = load<f32>(row + pitch - 4);
      for (let i: usize = 0; i < <usize>radius; i++) {
        store<f32>(line + (i << 2), left);
        store<f32>(middle + pitch + (i << 2), right);
      }
      for (let x: usize = 0; x < pitch; x += 16) {
        let sum = f32x4.mul(center, v128.load(middle + x));
        for (let t: usize = 4; t <= (<usize>radius) << 2; t += 4) {
          const pair = f32x4.add(v128.load(middle + x - t), v128.load(middle + x + t));
          sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(weights + t), pair));
        }
        v128.store(plane + y * pitch + x, sum);
      }
    }
    for (let y: i32 = 0; y < height; y++) {
      for (let x: usize = 0; x < pitch; x += 16) {
        let sum = f32x4.mul(center, v128.load(plane + <usize>y * pitch + x));
        for (let t: i32 = 1; t <= radius; t++) {
          const above = plane + <usize>max(y - t, 0) * pitch + x;
          const below = plane + <usize>min(y + t, height - 1) * pitch + x;
          const pair = f32x4.add(v128.load(above), v128.load(below));
          sum = f32x4.add(sum, f32x4.mul(v128.load32_splat(weights + ((<usize>t) << 2)), pair));
        }
        v128.store(base + <usize>y * pitch + x, sum);
      }
    }
  }
}

/** plane · scale + offset per channel. */
export function normalize(
  canvas: usize,
  count: i32,
  stride: i32,
  scaleR: f32,
  scaleG: f32,
  scaleB: f32,
  offsetR: f32,
  offsetG: f32,
  offsetB: f32,
): void {
  for (let p = 0; p < 3; p++) {
    const m = f32x4.splat(p == 0 ? scaleR : p == 1 ? scaleG : scaleB);
    const o = f32x4.splat(p == 0 ? offsetR : p == 1 ? offsetG : offsetB);
    let at = canvas + ((<usize>(p * stride)) << 2);
    for (const end = at + ((<usize>count) << 2); at < end; at += 16)
      v128.store(at, f32x4.add(f32x4.mul(v128.load(at), m), o));
  }
}
