import { allocate, type DType, type TypedArrays } from "./dtype.ts";
import { type Shape, show, sizeOf } from "./shape.ts";

/** Values on the host: row-major data of a static shape. A plain record, without arithmetic. */
export interface Tensor<T extends DType = DType> {
  readonly dtype: T;
  readonly shape: Shape;
  readonly data: TypedArrays[T];
}

/** A tensor over `data` (zeros when left out). Throws when the number of elements differs from the shape's. */
export function tensor<T extends DType>(dtype: T, shape: Shape, data?: TypedArrays[T]): Tensor<T> {
  const values = data ?? allocate(dtype, sizeOf(shape));
  if (values.length !== sizeOf(shape))
    throw new Error(`shape ${show(shape)} needs ${sizeOf(shape)} elements, but the data has ${values.length}`);
  return { dtype, shape: [...shape], data: values };
}
