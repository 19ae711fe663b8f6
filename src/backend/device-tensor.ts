/** Tensors in the memory of a device, as ONNX Runtime has them. */
import { type Shape, show, sizeOf } from "../tensor/shape.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { Handle } from "./backend.ts";
import type { RuntimeTensor } from "./executable.ts";

/** A place on the device; what lies there is replaced and not changed. */
export class DeviceTensor implements Handle {
  readonly dtype = "float32";
  readonly shape: Shape;
  /** Nothing until it is written first. */
  #value: RuntimeTensor | undefined;
  /** Whether others have the same value, which is then not freed here. */
  #isShared = false;

  constructor(shape: Shape) {
    this.shape = shape;
  }

  /** The value as an input of that shape. */
  as(shape: Shape): RuntimeTensor {
    if (this.#value === undefined) throw new Error("a tensor is read on the device before it is written");
    // The runtime takes the shape from the object and has no other way to say that the same numbers have another one.
    const same = Object.create(Object.getPrototypeOf(this.#value) as object) as RuntimeTensor;
    return Object.assign(same, this.#value, { dims: [...shape] });
  }

  replace(value: RuntimeTensor, isShared = false) {
    this.free();
    [this.#value, this.#isShared] = [value, isShared];
  }

  free() {
    if (!this.#isShared) this.#value?.dispose();
    this.#value = undefined;
  }
}

/** A place seen in another shape. */
export interface View extends Handle {
  readonly place: DeviceTensor;
}

export const isView = (handle: Handle): handle is View => "place" in handle;
export const isHost = (handle: Handle): handle is Tensor => "data" in handle;

export function viewOf(place: DeviceTensor, shape: Shape = place.shape): View {
  if (sizeOf(shape) !== sizeOf(place.shape))
    throw new Error(`shape ${show(shape)} needs ${sizeOf(shape)} elements, but the data has ${sizeOf(place.shape)}`);
  return { dtype: place.dtype, shape, place };
}

/** Numbers that are moved by one run: the second copy of them takes at most this, or as much as the largest variable. */
const groupFloats = 2 ** 24;

/** Consecutive items of up to `groupFloats` numbers together, or one that has more. */
export function groupsOf<T>(items: readonly T[], sizeOfItem: (item: T) => number): T[][] {
  const groups: T[][] = [];
  let room = 0;
  for (const item of items) {
    const size = sizeOfItem(item);
    if (size > room || groups.length === 0) {
      groups.push([]);
      room = groupFloats;
    }
    groups.at(-1)!.push(item);
    room -= size;
  }
  return groups;
}
