/** Element types of tensors, named as in safetensors' lower-case PyTorch tradition. */
export type DType = "float32" | "float64" | "int64" | "int32" | "bool";

export interface TypedArrays {
  float32: Float32Array;
  float64: Float64Array;
  int64: BigInt64Array;
  int32: Int32Array;
  bool: Uint8Array;
}

/** Any typed array that can hold tensor data. */
export type Data = TypedArrays[DType];

const constructors = {
  float32: Float32Array,
  float64: Float64Array,
  int64: BigInt64Array,
  int32: Int32Array,
  bool: Uint8Array,
} as const;

/** Bytes of one element. */
export function bytesOf(dtype: DType): number {
  return constructors[dtype].BYTES_PER_ELEMENT;
}

/** Zero-filled data for `length` elements, or a view on `buffer` when given. */
export function allocate<T extends DType>(dtype: T, length: number, buffer?: ArrayBuffer, byteOffset = 0) {
  const Type = constructors[dtype];
  return (buffer === undefined ? new Type(length) : new Type(buffer, byteOffset, length)) as TypedArrays[T];
}
