/** The 16-bit floats of other people's files, as float32: every one of them is exact in it. */

/** IEEE 754 binary16: 1 bit sign, 5 exponent, 10 fraction. */
export function fromFloat16(bits: Uint16Array): Float32Array {
  return Float32Array.from(bits, (each) => float16[each]!);
}

/** bfloat16: the upper half of a float32. */
export function fromBfloat16(bits: Uint16Array): Float32Array {
  return new Float32Array(Uint32Array.from(bits, (each) => each << 16).buffer);
}

const float16 = Float32Array.from({ length: 2 ** 16 }, (_, bits) => {
  const sign = bits >> 15 === 0 ? 1 : -1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  if (exponent === 31) return fraction === 0 ? sign * Infinity : NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1024 + fraction) * 2 ** (exponent - 25);
});
