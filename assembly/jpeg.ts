// Baseline JPEG to RGB: the kernel behind src/data/formats/jpeg.ts, which reads the headers.
//
// The pixels are libjpeg's, bit for bit: its accurate integer inverse DCT (after Loeffler, Ligtenberg and Moschytz, 1989),
// its triangle-filtered ("fancy") chroma and its fixed-point colour conversion.
// Whatever is not as it should be makes a function return 0; the caller then leaves the file to another decoder.
// JavaScript owns the memory and passes byte addresses.

/** First byte that JavaScript may use. */
export function heapBase(): usize {
  return __heap_base;
}

/** Bits that one look into a table of codes covers. */
const look = 10;
const bounds: usize = 4 << look;
const offsets: usize = bounds + 17 * 4;
const symbols: usize = offsets + 17 * 4;

/** Bytes of a table of codes. */
export function tableBytes(): usize {
  return symbols + 256 + 8;
}

/**
 * Writes a table of codes. `codes`: as in a DHT segment, 16 numbers of codes by length, then their symbols.
 * An entry says what a symbol does: value of the coefficient (16 bits), coefficients skipped before it (8 bits), length
 * of the code and of the value's bits (8 bits). An end of block skips 128. The first part of the table has the entry by
 * the next `look` bits, 0 where these are not enough.
 */
export function makeTable(table: usize, codes: usize, isAc: i32): i32 {
  memory.fill(table, 0, bounds);
  let code = 0;
  let index = 0;
  store<i32>(table + symbols + 256, isAc);
  for (let length = 1; length <= 16; length++) {
    const count = <i32>load<u8>(codes + length - 1);
    store<i32>(table + offsets + (length << 2), index - code);
    for (let i = 0; i < count; i++) {
      if (index > 255 || code >= 1 << length) return 0;
      const symbol = <i32>load<u8>(codes + 16 + index);
      store<u8>(table + symbols + index, <u8>symbol);
      const size = isAc ? symbol & 15 : symbol;
      if (size > (isAc ? 10 : 11)) return 0;
      const rest = look - length - size;
      if (rest >= 0)
        for (let bits = 0; bits < 1 << size; bits++) {
          const first = (((code << size) | bits) << rest) << 2;
          const made = entry(symbol, isAc, bits, length);
          for (let j = 0; j < 4 << rest; j += 4) store<i32>(table + first + j, made);
        }
      code++;
      index++;
    }
    store<i32>(table + bounds + (length << 2), code << (16 - length));
    code <<= 1;
  }
  return 1;
}

/** Divisors of a block, row after row, from the zigzag order of a file. */
export function makeDivisors(divisors: usize, zigzag: usize): void {
  for (let k: usize = 0; k < 64; k++)
    store<i16>(divisors + ((<usize>load<u8>(order + k)) << 1), <i16>load<u8>(zigzag + k));
}

/** What `symbol` does when the bits of its value are `bits`; 0 for one that means nothing. */
function entry(symbol: i32, isAc: i32, bits: i32, length: i32): i32 {
  const size = isAc ? symbol & 15 : symbol;
  let run = isAc ? symbol >> 4 : 0;
  if (isAc && size == 0) {
    if (run == 0) run = 128;
    else if (run != 15) return 0;
  }
  const value = size > 0 && bits >> (size - 1) == 0 ? bits - (1 << size) + 1 : bits;
  return (value << 16) | (run << 8) | (length + size);
}

/** The entry of a symbol that the first part of the table does not hold. */
function long(table: usize, next: u64): i32 {
  const code = <i32>(next >> 48);
  let length = 1;
  while (code >= load<i32>(table + bounds + (length << 2))) if (++length > 16) return 0;
  const index = load<i32>(table + offsets + (length << 2)) + (code >> (16 - length));
  const symbol = <i32>load<u8>(table + symbols + index);
  const isAc = load<i32>(table + symbols + 256);
  const size = isAc ? symbol & 15 : symbol;
  const bits = size == 0 ? 0 : <i32>((next << length) >> (64 - size));
  return entry(symbol, isAc, bits, length);
}

/** Where the next coefficients lie in a block, row after row; from 64 on beside it. */
const order = memory.data<u8>([
  0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6, 7, 14, 21, 28,
  35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47,
  55, 62, 63,
]);
const places = memory.data(64 + 128 + 16);
const block = memory.data(128 + 16, 16);

/** Zeros that `unstuff` left out. */
let stuffed: usize = 0;

/**
 * Copies entropy-coded data from `from` up to the next marker, without the zeros that follow bytes of 255, backwards:
 * the first byte is the one before `top`. Eight bytes below a place are then the next 64 bits as a number.
 * Returns the marker's address, or `end`.
 */
function unstuff(from: usize, end: usize, top: usize): usize {
  stuffed = 0;
  const full = i8x16.splat(-1);
  while (from < end) {
    const bytes = v128.load(from);
    top -= 16;
    v128.store(top, i8x16.shuffle(bytes, bytes, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    const mask = i8x16.bitmask(i8x16.eq(bytes, full));
    if (mask == 0) {
      from += 16;
      continue;
    }
    const at = <usize>ctz(mask);
    from += at;
    if (from + 1 >= end) return end;
    if (load<u8>(from, 1) != 0) return from;
    stuffed++;
    from += 2;
    top += 15 - at;
  }
  return end;
}

/**
 * Decodes the scan at `from` up to the end of the image at or before `end` (the memory beyond is readable for 16 bytes).
 * `clean`: scratch of end - from + 2048 + 32 bytes. `restart`: MCUs between restart markers, or 0.
 * Samples are stored for the MCUs from (left, top) to before (right, bottom), of `across` × `down`.
 * `blocks`: for each block of an MCU 8 × i32: tables of DC and of AC codes, divisors (64 × i16, row after row), the
 * component's last DC (i32), where the block's samples go in MCU (0, 0), bytes a row, from MCU to MCU, from MCU row to
 * MCU row.
 */
export function decode(
  from: usize,
  end: usize,
  clean: usize,
  restart: i32,
  across: i32,
  down: i32,
  left: i32,
  top: i32,
  right: i32,
  bottom: i32,
  blocks: usize,
  count: i32,
): i32 {
  const floor = clean + 2048 - 64;
  const ceiling = clean + 2048 + 16 + (end - from);
  const lastBlock = blocks + ((<usize>count) << 5);
  let remaining = 0;
  let marker = 0xd0;
  let next: u64 = 0; // the next bits, first one highest
  let bits = 0; // how many of them
  let at: usize = 0; // eight bytes, of which the highest come next
  let length: usize = 0; // of the data since the last marker
  for (let place: usize = 0; place < 64; place++) store<u8>(places + place, load<u8>(order + place));
  memory.fill(places + 64, 64, 128);
  memory.fill(block, 0, 128);

  for (let y = 0; y < bottom; y++)
    for (let x = 0; x < across; x++) {
      if (remaining == 0) {
        if (y > 0 || x > 0) {
          if (restart == 0) return 0;
          const unread = <isize>(length << 3) - (((<isize>(ceiling - 8 - at)) << 3) - bits);
          if (unread < 0 || unread > 7) return 0;
          if (from >= end || load<u8>(from, 1) != marker) return 0;
          marker = 0xd0 | ((marker + 1) & 7);
          from += 2;
        }
        const start = from;
        from = unstuff(from, end, ceiling);
        length = from - start - stuffed;
        memory.fill(ceiling - length - 8, 0, 8);
        at = ceiling - 8;
        next = 0;
        bits = 0;
        remaining = restart == 0 ? across * down : restart;
        for (let b = blocks; b < lastBlock; b += 32) store<i32>(load<i32>(b, 12), 0);
      }
      remaining--;
      if (at < floor) return 0;
      const wanted = y >= top && x >= left && x < right;
      for (let b = blocks; b < lastBlock; b += 32) {
        next |= load<u64>(at) >> bits;
        at -= (63 - bits) >> 3;
        bits |= 56;
        const dc = <usize>load<i32>(b);
        const ac = <usize>load<i32>(b, 4);
        const last = <usize>load<i32>(b, 12);
        let symbol = load<i32>(dc + ((<usize>(next >> (64 - look))) << 2));
        if (symbol == 0) {
          symbol = long(dc, next);
          if (symbol == 0) return 0;
        }
        next <<= symbol; // by its last six bits
        bits -= symbol & 255;
        const level = load<i32>(last) + (symbol >> 16);
        store<i32>(last, level);
        store<i16>(block, level);
        let k: usize = 1;
        // 56 bits last for two symbols, of at most 16 + 11 bits.
        do {
          symbol = load<i32>(ac + ((<usize>(next >> (64 - look))) << 2));
          if (symbol == 0) {
            symbol = long(ac, next);
            if (symbol == 0) return 0;
          }
          next <<= symbol;
          bits -= symbol & 255;
          k += (symbol >> 8) & 255;
          store<i16>(block + ((<usize>load<u8>(places + k)) << 1), symbol >> 16);
          k++;
          next |= load<u64>(at) >> bits;
          at -= (63 - bits) >> 3;
          bits |= 56;
          if (k >= 64) break;
          symbol = load<i32>(ac + ((<usize>(next >> (64 - look))) << 2));
          if (symbol == 0) {
            symbol = long(ac, next);
            if (symbol == 0) return 0;
          }
          next <<= symbol;
          bits -= symbol & 255;
          k += (symbol >> 8) & 255;
          store<i16>(block + ((<usize>load<u8>(places + k)) << 1), symbol >> 16);
          k++;
        } while (k < 64);
        if (k != 64 && k < 129) return 0;
        if (wanted) {
          const to = <usize>(load<i32>(b, 16) + y * load<i32>(b, 28) + x * load<i32>(b, 24));
          const isDone =
            k == 130
              ? fillBlock(level * <i32>load<i16>(load<i32>(b, 8)), to, load<i32>(b, 20))
              : inverse(load<i32>(b, 8), to, load<i32>(b, 20));
          if (!isDone) return 0;
        }
        if (k != 130) {
          const zero = i64x2.splat(0);
          v128.store(block, zero);
          v128.store(block, zero, 16);
          v128.store(block, zero, 32);
          v128.store(block, zero, 48);
          v128.store(block, zero, 64);
          v128.store(block, zero, 80);
          v128.store(block, zero, 96);
          v128.store(block, zero, 112);
        }
      }
    }
  const unread = <isize>(length << 3) - (((<isize>(ceiling - 8 - at)) << 3) - bits);
  if (unread < 0 || (unread > 7 && (remaining == 0 || bottom == down))) return 0;
  // What is below the wanted part is not decoded, but it must be there.
  while (from < end && (load<u8>(from, 1) & 0xf8) == 0xd0) from = unstuff(from + 2, end, ceiling);
  return from < end && load<u8>(from, 1) == 0xd9 ? 1 : 0;
}

/**
 * Coefficients beyond this are none of an image of 8 bits, whose are at most about 1100; libjpeg's transforms for
 * different processors calculate different things with them.
 */
const limit = 8191;

/** Samples of a block with nothing but a mean. */
function fillBlock(level: i32, to: usize, pitch: usize): i32 {
  if (abs(level) > limit) return 0;
  const sample = i8x16.splat(<i8>max(0, min(255, ((level + 4) >> 3) + 128)));
  for (let end = to + (pitch << 3); to < end; to += pitch) v128.store64_lane(to, sample, 0);
  return 1;
}

/** Pairs of multipliers in units of 2^-13, as dot products of interleaved 16-bit numbers take them. */
function pair(a: i32, b: i32): v128 {
  return i32x4.splat((a & 0xffff) | (b << 16));
}

function low(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
}

function high(a: v128, b: v128): v128 {
  return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
}

function narrow(a: v128, b: v128, shift: i32): v128 {
  return i16x8.narrow_i32x4_s(i32x4.shr_s(a, shift), i32x4.shr_s(b, shift));
}

/** One-dimensional inverse DCTs of the eight columns of `from` (8 × 8 × i16), transposed to `to`, rounded to 2^-shift. */
function columns(v0: v128, v1: v128, v2: v128, v3: v128, v4: v128, v5: v128, v6: v128, v7: v128, shift: i32): void {
  const round = i32x4.splat(1 << (shift - 1));
  // even part; sums of 16 bits, times 2^13
  const zero = i64x2.splat(0);
  const sum = i16x8.add(v0, v4);
  const difference = i16x8.sub(v0, v4);
  const sumL = i32x4.add(i32x4.shr_s(low(zero, sum), 3), round);
  const sumH = i32x4.add(i32x4.shr_s(high(zero, sum), 3), round);
  const differenceL = i32x4.add(i32x4.shr_s(low(zero, difference), 3), round);
  const differenceH = i32x4.add(i32x4.shr_s(high(zero, difference), 3), round);
  let a = low(v2, v6);
  let b = high(v2, v6);
  let c = i32x4.dot_i16x8_s(a, pair(10703, 4433));
  let d = i32x4.dot_i16x8_s(b, pair(10703, 4433));
  const e0L = i32x4.add(sumL, c);
  const e0H = i32x4.add(sumH, d);
  const e3L = i32x4.sub(sumL, c);
  const e3H = i32x4.sub(sumH, d);
  c = i32x4.dot_i16x8_s(a, pair(4433, -10704));
  d = i32x4.dot_i16x8_s(b, pair(4433, -10704));
  const e1L = i32x4.add(differenceL, c);
  const e1H = i32x4.add(differenceH, d);
  const e2L = i32x4.sub(differenceL, c);
  const e2H = i32x4.sub(differenceH, d);
  // odd part
  const z3 = i16x8.add(v7, v3);
  const z4 = i16x8.add(v5, v1);
  a = low(z3, z4);
  b = high(z3, z4);
  const s3L = i32x4.dot_i16x8_s(a, pair(-6436, 9633));
  const s3H = i32x4.dot_i16x8_s(b, pair(-6436, 9633));
  const s4L = i32x4.dot_i16x8_s(a, pair(9633, 6437));
  const s4H = i32x4.dot_i16x8_s(b, pair(9633, 6437));
  a = low(v7, v1);
  b = high(v7, v1);
  let oL = i32x4.add(i32x4.dot_i16x8_s(a, pair(-7373, 4926)), s4L);
  let oH = i32x4.add(i32x4.dot_i16x8_s(b, pair(-7373, 4926)), s4H);
  const o0 = narrow(i32x4.add(e0L, oL), i32x4.add(e0H, oH), shift);
  const o7 = narrow(i32x4.sub(e0L, oL), i32x4.sub(e0H, oH), shift);
  oL = i32x4.add(i32x4.dot_i16x8_s(a, pair(-4927, -7373)), s3L);
  oH = i32x4.add(i32x4.dot_i16x8_s(b, pair(-4927, -7373)), s3H);
  const o3 = narrow(i32x4.add(e3L, oL), i32x4.add(e3H, oH), shift);
  const o4 = narrow(i32x4.sub(e3L, oL), i32x4.sub(e3H, oH), shift);
  a = low(v5, v3);
  b = high(v5, v3);
  oL = i32x4.add(i32x4.dot_i16x8_s(a, pair(-20995, 4177)), s3L);
  oH = i32x4.add(i32x4.dot_i16x8_s(b, pair(-20995, 4177)), s3H);
  const o1 = narrow(i32x4.add(e1L, oL), i32x4.add(e1H, oH), shift);
  const o6 = narrow(i32x4.sub(e1L, oL), i32x4.sub(e1H, oH), shift);
  oL = i32x4.add(i32x4.dot_i16x8_s(a, pair(-4176, -20995)), s4L);
  oH = i32x4.add(i32x4.dot_i16x8_s(b, pair(-4176, -20995)), s4H);
  const o2 = narrow(i32x4.add(e2L, oL), i32x4.add(e2H, oH), shift);
  const o5 = narrow(i32x4.sub(e2L, oL), i32x4.sub(e2H, oH), shift);
  v128.store(work, o0);
  v128.store(work, o1, 16);
  v128.store(work, o2, 32);
  v128.store(work, o3, 48);
  v128.store(work, o4, 64);
  v128.store(work, o5, 80);
  v128.store(work, o6, 96);
  v128.store(work, o7, 112);
}

const work = memory.data(128, 16);

/** The samples of the block from its coefficients: two passes of one-dimensional transforms. */
function inverse(divisors: usize, to: usize, pitch: usize): i32 {
  const first = i16x8.mul(v128.load(block), v128.load(divisors));
  if (v128.any_true(i16x8.gt_u(i16x8.abs(first), i16x8.splat(<i16>limit)))) return 0;
  columns(
    first,
    i16x8.mul(v128.load(block, 16), v128.load(divisors, 16)),
    i16x8.mul(v128.load(block, 32), v128.load(divisors, 32)),
    i16x8.mul(v128.load(block, 48), v128.load(divisors, 48)),
    i16x8.mul(v128.load(block, 64), v128.load(divisors, 64)),
    i16x8.mul(v128.load(block, 80), v128.load(divisors, 80)),
    i16x8.mul(v128.load(block, 96), v128.load(divisors, 96)),
    i16x8.mul(v128.load(block, 112), v128.load(divisors, 112)),
    11,
  );
  // transposed: 2 × 2, 4 × 4, 8 × 8
  const a0 = v128.load(work);
  const a1 = v128.load(work, 16);
  const a2 = v128.load(work, 32);
  const a3 = v128.load(work, 48);
  const a4 = v128.load(work, 64);
  const a5 = v128.load(work, 80);
  const a6 = v128.load(work, 96);
  const a7 = v128.load(work, 112);
  const b0 = low(a0, a4);
  const b1 = high(a0, a4);
  const b2 = low(a1, a5);
  const b3 = high(a1, a5);
  const b4 = low(a2, a6);
  const b5 = high(a2, a6);
  const b6 = low(a3, a7);
  const b7 = high(a3, a7);
  const c0 = low(b0, b4);
  const c1 = high(b0, b4);
  const c2 = low(b1, b5);
  const c3 = high(b1, b5);
  const c4 = low(b2, b6);
  const c5 = high(b2, b6);
  const c6 = low(b3, b7);
  const c7 = high(b3, b7);
  columns(
    low(c0, c4),
    high(c0, c4),
    low(c1, c5),
    high(c1, c5),
    low(c2, c6),
    high(c2, c6),
    low(c3, c7),
    high(c3, c7),
    18,
  );
  // as bytes, and transposed back
  const p0 = i8x16.narrow_i16x8_s(v128.load(work), v128.load(work, 64)); // columns 0 and 4
  const p1 = i8x16.narrow_i16x8_s(v128.load(work, 16), v128.load(work, 80));
  const p2 = i8x16.narrow_i16x8_s(v128.load(work, 32), v128.load(work, 96));
  const p3 = i8x16.narrow_i16x8_s(v128.load(work, 48), v128.load(work, 112));
  const q0 = v128.shuffle<i8>(p0, p2, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); // 0 2
  const q1 = v128.shuffle<i8>(p0, p2, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); // 4 6
  const q2 = v128.shuffle<i8>(p1, p3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); // 1 3
  const q3 = v128.shuffle<i8>(p1, p3, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); // 5 7
  const s0 = v128.shuffle<i8>(q0, q2, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); // 0 1 2 3 of rows 0 to 3
  const s1 = v128.shuffle<i8>(q0, q2, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31); // of rows 4 to 7
  const s2 = v128.shuffle<i8>(q1, q3, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23); // 4 5 6 7
  const s3 = v128.shuffle<i8>(q1, q3, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const middle = i8x16.splat(-128);
  const t0 = i8x16.add(v128.shuffle<i32>(s0, s2, 0, 4, 1, 5), middle);
  const t1 = i8x16.add(v128.shuffle<i32>(s0, s2, 2, 6, 3, 7), middle);
  const t2 = i8x16.add(v128.shuffle<i32>(s1, s3, 0, 4, 1, 5), middle);
  const t3 = i8x16.add(v128.shuffle<i32>(s1, s3, 2, 6, 3, 7), middle);
  v128.store64_lane(to, t0, 0);
  v128.store64_lane(to + pitch, t0, 1);
  to += pitch << 1;
  v128.store64_lane(to, t1, 0);
  v128.store64_lane(to + pitch, t1, 1);
  to += pitch << 1;
  v128.store64_lane(to, t2, 0);
  v128.store64_lane(to + pitch, t2, 1);
  to += pitch << 1;
  v128.store64_lane(to, t3, 0);
  v128.store64_lane(to + pitch, t3, 1);
  return 1;
}

/**
 * RGB of the pixels from (left, top) to before (right, bottom), `left` a multiple of 16, at the same places of an image at
 * `to` with rows of `width` pixels; up to 15 pixels to the right are written as well.
 * `y`, `cb`, `cr`: planes of samples. Chroma samples are `wide` and `tall` (0, 1 for twice as much) pixels large, there
 * are `across` × `down` of them, and their planes have room for one sample at either end of a row.
 */
export function paint(
  y: usize,
  pitch: i32,
  cb: usize,
  cr: usize,
  chromaPitch: i32,
  wide: i32,
  tall: i32,
  across: i32,
  down: i32,
  left: i32,
  top: i32,
  right: i32,
  bottom: i32,
  to: usize,
  width: i32,
): void {
  if (wide)
    for (let row = max(0, (top >> tall) - tall); row < min(down, ((bottom - 1) >> tall) + 1 + tall); row++) {
      const line = <usize>(row * chromaPitch);
      store<u8>(cb + line - 1, load<u8>(cb + line));
      store<u8>(cr + line - 1, load<u8>(cr + line));
      store<u8>(cb + line + across, load<u8>(cb + line + across - 1));
      store<u8>(cr + line + across, load<u8>(cr + line + across - 1));
    }
  for (let row = top; row < bottom; row++) {
    const own = row >> tall;
    const near = max(0, min(down - 1, row & 1 ? own + 1 : own - 1));
    const offset = own * chromaPitch + (left >> wide);
    const nearOffset = near * chromaPitch + (left >> wide);
    const from = y + <usize>(row * pitch + left);
    const line = to + <usize>((row * width + left) * 3);
    const end = from + <usize>(right - left);
    paintRow(from, end, cb + offset, cb + nearOffset, cr + offset, cr + nearOffset, wide, tall, line);
  }
}

function paintRow(
  y: usize,
  end: usize,
  cb: usize,
  nearCb: usize,
  cr: usize,
  nearCr: usize,
  wide: i32,
  tall: i32,
  to: usize,
): void {
  const shift = tall ? 4 : 2;
  const roundEven = i16x8.splat(tall ? 8 : 1);
  const roundOdd = i16x8.splat(tall ? 7 : 2);
  for (; y < end; y += 16) {
    let b0: v128;
    let b1: v128;
    let r0: v128;
    let r1: v128;
    if (wide) {
      const before = chroma(cb - 1, nearCb - 1, tall);
      const here = i16x8.mul(chroma(cb, nearCb, tall), i16x8.splat(3));
      const after = chroma(cb + 1, nearCb + 1, tall);
      let even = i16x8.shr_u(i16x8.add(i16x8.add(here, before), roundEven), shift);
      let odd = i16x8.shr_u(i16x8.add(i16x8.add(here, after), roundOdd), shift);
      b0 = low(even, odd);
      b1 = high(even, odd);
      const beforeR = chroma(cr - 1, nearCr - 1, tall);
      const hereR = i16x8.mul(chroma(cr, nearCr, tall), i16x8.splat(3));
      const afterR = chroma(cr + 1, nearCr + 1, tall);
      even = i16x8.shr_u(i16x8.add(i16x8.add(hereR, beforeR), roundEven), shift);
      odd = i16x8.shr_u(i16x8.add(i16x8.add(hereR, afterR), roundOdd), shift);
      r0 = low(even, odd);
      r1 = high(even, odd);
      cb += 8;
      cr += 8;
      nearCb += 8;
      nearCr += 8;
    } else {
      b0 = v128.load_ext<u8>(cb);
      b1 = v128.load_ext<u8>(cb + 8);
      r0 = v128.load_ext<u8>(cr);
      r1 = v128.load_ext<u8>(cr + 8);
      cb += 16;
      cr += 16;
    }
    const middle = i16x8.splat(128);
    b0 = i16x8.sub(b0, middle);
    b1 = i16x8.sub(b1, middle);
    r0 = i16x8.sub(r0, middle);
    r1 = i16x8.sub(r1, middle);
    const y0 = v128.load_ext<u8>(y);
    const y1 = v128.load_ext<u8>(y + 8);
    // 1.402 = 1 + 13173 / 2^15 and 1.772 = 2 - 7471 / 2^15: for all 256 values what 16 bits after the point give.
    const red = i8x16.narrow_i16x8_u(
      i16x8.add(i16x8.add(y0, r0), i16x8.q15mulr_sat_s(r0, i16x8.splat(13173))),
      i16x8.add(i16x8.add(y1, r1), i16x8.q15mulr_sat_s(r1, i16x8.splat(13173))),
    );
    const blue = i8x16.narrow_i16x8_u(
      i16x8.add(i16x8.add(y0, i16x8.shl(b0, 1)), i16x8.q15mulr_sat_s(b0, i16x8.splat(-7471))),
      i16x8.add(i16x8.add(y1, i16x8.shl(b1, 1)), i16x8.q15mulr_sat_s(b1, i16x8.splat(-7471))),
    );
    const green = i8x16.narrow_i16x8_u(
      i16x8.add(i16x8.sub(y0, r0), i16x8.narrow_i32x4_s(greenOf(low(b0, r0)), greenOf(high(b0, r0)))),
      i16x8.add(i16x8.sub(y1, r1), i16x8.narrow_i32x4_s(greenOf(low(b1, r1)), greenOf(high(b1, r1)))),
    );
    interleave(red, green, blue, to);
    to += 48;
  }
}

function chroma(at: usize, near: usize, tall: i32): v128 {
  const own = v128.load_ext<u8>(at);
  return tall ? i16x8.add(i16x8.mul(own, i16x8.splat(3)), v128.load_ext<u8>(near)) : own;
}

/** -0.34414 b + (1 - 0.71414) r of four interleaved pairs, rounded. */
function greenOf(pairs: v128): v128 {
  return i32x4.shr_s(i32x4.add(i32x4.dot_i16x8_s(pairs, pair(-22554, 18734)), i32x4.splat(32768)), 16);
}

/** The same of an image that has only `y`. */
export function paintGrey(
  y: usize,
  pitch: i32,
  left: i32,
  top: i32,
  right: i32,
  bottom: i32,
  to: usize,
  width: i32,
): void {
  for (let row = top; row < bottom; row++) {
    let from = y + <usize>(row * pitch + left);
    let line = to + <usize>((row * width + left) * 3);
    for (const end = from + <usize>(right - left); from < end; from += 16) {
      const grey = v128.load(from);
      v128.store(line, v128.shuffle<i8>(grey, grey, 0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5));
      v128.store(line, v128.shuffle<i8>(grey, grey, 5, 5, 6, 6, 6, 7, 7, 7, 8, 8, 8, 9, 9, 9, 10, 10), 16);
      v128.store(
        line,
        v128.shuffle<i8>(grey, grey, 10, 11, 11, 11, 12, 12, 12, 13, 13, 13, 14, 14, 14, 15, 15, 15),
        32,
      );
      line += 48;
    }
  }
}

function interleave(r: v128, g: v128, b: v128, to: usize): void {
  const a = v128.shuffle<i8>(r, g, 0, 16, 0, 1, 17, 0, 2, 18, 0, 3, 19, 0, 4, 20, 0, 5);
  v128.store(to, v128.shuffle<i8>(a, b, 0, 1, 16, 3, 4, 17, 6, 7, 18, 9, 10, 19, 12, 13, 20, 15));
  const c = v128.shuffle<i8>(r, g, 21, 0, 6, 22, 0, 7, 23, 0, 8, 24, 0, 9, 25, 0, 10, 26);
  v128.store(to, v128.shuffle<i8>(c, b, 0, 21, 2, 3, 22, 5, 6, 23, 8, 9, 24, 11, 12, 25, 14, 15), 16);
  const e = v128.shuffle<i8>(r, g, 0, 11, 27, 0, 12, 28, 0, 13, 29, 0, 14, 30, 0, 15, 31, 0);
  v128.store(to, v128.shuffle<i8>(e, b, 26, 1, 2, 27, 4, 5, 28, 7, 8, 29, 10, 11, 30, 13, 14, 31), 32);
}
