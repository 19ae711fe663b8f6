/** TFRecord framing: length, masked CRC-32C of the length, data, masked CRC-32C of the data (all little-endian). */

/** One record as it stands in the file. */
export function frame(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(data.length + 16);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.length), true);
  view.setUint32(8, mask(crc32c(record.subarray(0, 8))), true);
  record.set(data, 12);
  view.setUint32(12 + data.length, mask(crc32c(data)), true);
  return record;
}

/** The valid records at the beginning of `bytes`, each with the byte after its end; stops at the first damaged one. */
export function* unframe(bytes: Uint8Array): Generator<{ data: Uint8Array; start: number; end: number }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let start = 0; start + 16 <= bytes.length;) {
    const length = Number(view.getBigUint64(start, true));
    const end = start + 16 + length;
    if (view.getUint32(start + 8, true) !== mask(crc32c(bytes.subarray(start, start + 8))) || end > bytes.length)
      return;
    const data = bytes.subarray(start + 12, end - 4);
    if (view.getUint32(end - 4, true) !== mask(crc32c(data))) return;
    yield { data, start, end };
    start = end;
  }
}

/** CRC-32C (Castagnoli), as an unsigned number. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = table[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  return (crc ^ 0xffffffff) >>> 0;
}

/** TFRecord stores rotated checksums, as a CRC over data that hold their own CRC is weak (tensorflow/core/lib/hash). */
function mask(crc: number): number {
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}

const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
  return crc >>> 0;
});
