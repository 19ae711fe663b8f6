/**
 * A look over Thrift's compact protocol, in which Parquet writes what it says of itself. Libraries that read it believe
 * every length; here a struct is walked over first, so that what they get lies within the bytes there are.
 */

/** Deeper and larger structs than Parquet has. */
const mostDepth = 16;
const mostValues = 2 ** 21;

/**
 * Where the struct that begins at `start` ends. Throws when it goes beyond the bytes, is nested too deep, or has more
 * values than so many bytes can be worth.
 */
export function endOfStruct(bytes: Uint8Array, start = 0): number {
  let at = start;
  let valuesLeft = Math.min(mostValues, 64 + (bytes.length - start) / 2);

  function byte(): number {
    if (at >= bytes.length) throw new RangeError("a struct has no end");
    return bytes[at++]!;
  }

  function skip(length: number): void {
    if (length > bytes.length - at) throw new RangeError(`a value of ${length} bytes is longer than what there is`);
    at += length;
  }

  /** Numbers of more than ten bytes have more than 64 bits. */
  function varint(): number {
    let value = 0;
    for (let i = 0; i < 10; i++) {
      const next = byte();
      value += (next & 0x7f) * 2 ** (7 * i);
      if (next < 0x80) return value;
    }
    throw new Error("a number has no end");
  }

  function value(type: number, depth: number): void {
    if (valuesLeft-- <= 0) throw new Error("a struct has too many values");
    if (type === 3) skip(1);
    else if (type >= 4 && type <= 6) varint();
    else if (type === 7) skip(8);
    else if (type === 8) skip(varint());
    else if (type === 9) list(depth + 1);
    else if (type === 12) struct(depth + 1);
    else if (type !== 1 && type !== 2) throw new Error(`a value has the unknown type ${type}`);
  }

  function list(depth: number): void {
    if (depth > mostDepth) throw new Error("a struct is nested too deep");
    const head = byte();
    const length = head >> 4 === 15 ? varint() : head >> 4;
    const type = head & 15;
    if (length > bytes.length - at) throw new RangeError(`a list of ${length} values is longer than what there is`);
    for (let i = 0; i < length; i++) value(type === 1 || type === 2 ? 3 : type, depth); // booleans take a byte here
  }

  function struct(depth: number): void {
    if (depth > mostDepth) throw new Error("a struct is nested too deep");
    for (let head = byte(); (head & 15) !== 0; head = byte()) {
      if (head >> 4 === 0) varint();
      value(head & 15, depth);
    }
  }

  struct(0);
  return at;
}
