/** Tensors of a PyTorch file: where their elements lie, and how they become the project's types. */
import type { DType } from "../tensor/dtype.ts";
import { fromBfloat16, fromFloat16 } from "../tensor/half.ts";
import { type Shape, show, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { describe, Inert, type PickleContext, PickleFunction, PickleObject, type PickleValue } from "./pickle.ts";

type Raw = Float32Array | Float64Array | BigInt64Array | Int32Array | Int16Array | Int8Array | Uint8Array | Uint16Array;

/** An element type of PyTorch. Little-endian, as every file is that can be read. */
class ElementType extends PickleObject {
  readonly what: string;
  readonly dtype: DType;
  readonly raw: new (buffer: ArrayBuffer) => Raw;
  /** Makes elements of `dtype` where the two differ. */
  readonly convert: ((elements: Raw) => Tensor["data"]) | undefined;

  constructor(name: string, dtype: DType, raw: ElementType["raw"], convert?: ElementType["convert"]) {
    super();
    this.what = name;
    this.dtype = dtype;
    this.raw = raw;
    this.convert = convert;
  }

  get bytes(): number {
    return this.raw.prototype.BYTES_PER_ELEMENT;
  }
}

const toInt32 = (elements: Raw) => Int32Array.from(elements as Int8Array);

/** By the name of the storage class and of the dtype: `Half`, `float16`. */
const elementTypes: readonly (readonly [storage: string, dtype: string, ElementType])[] = [
  ["Float", "float32", new ElementType("float32", "float32", Float32Array)],
  ["Double", "float64", new ElementType("float64", "float64", Float64Array)],
  ["Half", "float16", new ElementType("float16", "float32", Uint16Array, (raw) => fromFloat16(raw as Uint16Array))],
  [
    "BFloat16",
    "bfloat16",
    new ElementType("bfloat16", "float32", Uint16Array, (raw) => fromBfloat16(raw as Uint16Array)),
  ],
  ["Long", "int64", new ElementType("int64", "int64", BigInt64Array)],
  ["Int", "int32", new ElementType("int32", "int32", Int32Array)],
  ["Short", "int16", new ElementType("int16", "int32", Int16Array, toInt32)],
  ["Char", "int8", new ElementType("int8", "int32", Int8Array, toInt32)],
  ["Byte", "uint8", new ElementType("uint8", "int32", Uint8Array, toInt32)],
  [
    "Bool",
    "bool",
    new ElementType("bool", "bool", Uint8Array, (raw) =>
      Uint8Array.from(raw as Uint8Array, (byte) => Number(byte !== 0)),
    ),
  ],
];

/** A run of elements in the file that tensors look at. */
export class Storage extends PickleObject {
  readonly what = "a storage";
  readonly element: ElementType;
  /** Number of elements. */
  readonly length: number;
  /** Fills `target` with the bytes from `offset` on, counted from the storage's first. */
  readonly read: (target: Uint8Array, offset: number) => void;

  constructor(element: ElementType, length: number, read: Storage["read"]) {
    super();
    this.element = element;
    this.length = length;
    this.read = read;
  }

  get bytes(): number {
    return this.length * this.element.bytes;
  }
}

/**
 * A tensor in the file; its numbers are read when `read` is called. float16 and bfloat16 become float32; uint8, int8 and
 * int16 become int32.
 */
export class TorchTensor extends PickleObject {
  readonly what = "a tensor";
  readonly shape: Shape;
  readonly #storage: Storage;
  /** Both in elements. */
  readonly #offset: number;
  readonly #strides: readonly number[];

  constructor(shape: Shape, storage: Storage, offset: number, strides: readonly number[]) {
    super();
    this.shape = shape;
    this.#storage = storage;
    this.#offset = offset;
    this.#strides = strides;
  }

  get dtype(): DType {
    return this.#storage.element.dtype;
  }

  /** Bytes that `read` takes from the file, at least. */
  get bytes(): number {
    return sizeOf(this.shape) * this.#storage.element.bytes;
  }

  /** Row-major data of its own memory. */
  read(): Tensor {
    const { dtype, raw, bytes, convert } = this.#storage.element;
    const size = sizeOf(this.shape);
    const span = size === 0 ? 0 : lastIndex(this.shape, this.#strides) + 1;
    let elements = new raw(new ArrayBuffer(span * bytes));
    this.#storage.read(new Uint8Array(elements.buffer), this.#offset * bytes);
    if (!isContiguous(this.shape, this.#strides))
      elements = gather(elements, new raw(new ArrayBuffer(size * bytes)), this.shape, this.#strides);
    return tensor(dtype, this.shape, convert === undefined ? (elements as Tensor["data"]) : convert(elements));
  }
}

/** Of a tensor with elements, the place of the last one. */
function lastIndex(shape: Shape, strides: readonly number[]): number {
  return shape.reduce((sum, n, axis) => sum + (n - 1) * strides[axis]!, 0);
}

function isContiguous(shape: Shape, strides: readonly number[]): boolean {
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    if (shape[axis] !== 1 && strides[axis] !== expected) return false;
    expected *= shape[axis]!;
  }
  return true;
}

/** Fills `target` with the elements of a strided view in row-major order. */
function gather(elements: Raw, target: Raw, shape: Shape, strides: readonly number[]): Raw {
  const index = shape.map(() => 0);
  let at = 0;
  for (let i = 0; i < target.length; i++) {
    target[i] = elements[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return target;
}

/**
 * `torch._utils._rebuild_tensor_v2(storage, offset, size, stride, …)`. No tensor has more elements than its storage: an
 * expanded one (stride 0) can mean any number of them.
 */
function rebuildTensor(
  [storage, offset, size, stride]: readonly PickleValue[],
  { fail, copies }: PickleContext,
): TorchTensor | Inert {
  if (storage instanceof Inert) return storage;
  if (!(storage instanceof Storage))
    throw fail(`makes a tensor of ${describe(storage ?? null)}, which is not a storage`);
  const shape = wholeNumbers(size, copies);
  const strides = wholeNumbers(stride, copies);
  if (shape === undefined || strides === undefined || shape.length !== strides.length || !isWhole(offset))
    throw fail("holds a tensor whose shape, strides and offset are not whole numbers that belong together");
  const { length, element } = storage;
  // The product without zeros, so that no size of a tensor, an empty one included, is beyond exact numbers.
  if (!Number.isSafeInteger(shape.reduce((product, n) => product * Math.max(n, 1), 1)))
    throw fail(`holds a tensor of ${shape.length} axes with sizes beyond any file`);
  const last = shape.includes(0) ? offset - 1 : offset + lastIndex(shape, strides);
  if (sizeOf(shape) > length || last >= length)
    throw fail(
      `holds a tensor ${show(shape)} of ${element.what} with strides ${show(strides)} and offset ${offset}, which needs more than the ${length} elements of its storage`,
    );
  return new TorchTensor(shape, storage, offset, strides);
}

function isWhole(value: PickleValue | undefined): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** A copy, which the pickle cannot change after it was checked. */
function wholeNumbers(list: PickleValue | undefined, copies: PickleContext["copies"]): number[] | undefined {
  if (!Array.isArray(list)) return undefined;
  copies(list.length);
  return list.every(isWhole) ? [...list] : undefined;
}

/** The names of PyTorch that a checkpoint uses. */
export const torchNames: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
  ...elementTypes.flatMap(([storage, dtype, element]): [string, PickleValue][] => [
    [`torch.${storage}Storage`, element],
    [`torch.cuda.${storage}Storage`, element],
    [`torch.${dtype}`, `torch.${dtype}`],
  ]),
  named("torch._utils._rebuild_tensor", rebuildTensor),
  named("torch._utils._rebuild_tensor_v2", rebuildTensor),
  named("torch._utils._rebuild_parameter", parameter),
  named("torch._utils._rebuild_parameter_with_state", parameter),
  named("torch.Size", ([sizes = []]) => sizes),
  named("torch.device", ([type = null, index = null], { fail }) => {
    if (type instanceof Inert) return type;
    if (typeof type !== "string" || type.length > 80) throw fail(`names the device ${describe(type)}`);
    return index === null ? type : `${type}:${describe(index)}`;
  }),
]);

function named(name: string, call: PickleFunction["call"]): [string, PickleFunction] {
  return [name, new PickleFunction(name, call)];
}

/** A parameter is its tensor: whether it was trained is the recipe's affair. */
function parameter([data]: readonly PickleValue[], { fail }: PickleContext): TorchTensor | Inert {
  if (data instanceof Inert) return data;
  if (!(data instanceof TorchTensor))
    throw fail(`makes a parameter of ${describe(data ?? null)}, which is not a tensor`);
  return data;
}

/** What a persistent id says: `("storage", type, key, device, number of elements)`. */
export interface StorageId {
  /** A name where the type is unknown. */
  readonly element: ElementType | Inert;
  readonly key: string;
  readonly length: number;
}

export function readStorageId(id: PickleValue, { fail }: PickleContext): StorageId {
  const [kind, element, key, , length, view = null] = Array.isArray(id) ? id : [];
  if (kind !== "storage" || typeof key !== "string" || !isWhole(length))
    throw fail("has a persistent id that is not a storage");
  if (!(element instanceof ElementType || element instanceof Inert)) throw elementError(element, fail);
  if (view !== null)
    throw fail(
      "has a storage that is a view of another one, as PyTorch before 0.4 wrote; save it again with a newer PyTorch",
    );
  return { element, key, length };
}

function elementError(element: PickleValue | undefined, fail: PickleContext["fail"]): Error {
  const known = elementTypes.map(([, dtype]) => dtype).join(", ");
  return fail(`has a storage of ${describe(element ?? null)}; supported: ${known}`);
}

export function refuseElement(element: Inert, { fail }: PickleContext): never {
  throw elementError(element, fail);
}

/** What stands for a storage and its tensors whose elements cannot be read. */
export function unreadTensor(element: Inert): Inert {
  return new Inert(`a tensor of ${element.what}`);
}
