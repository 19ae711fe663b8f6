import { broadcast, type Shape, show, sizeOf } from "../../tensor/shape.ts";
import { tensor } from "../../tensor/tensor.ts";
import { apply, type Attrs, type Op, type Type, type Value } from "../value.ts";

export interface MatmulOptions {
  /** Use a with its last two axes swapped. */
  transA?: boolean;
  /** Use b with its last two axes swapped. */
  transB?: boolean;
  /** Scale of the product (default 1). */
  alpha?: number;
}
interface MatmulAttrs extends Attrs {
  readonly transA: boolean;
  readonly transB: boolean;
  readonly alpha: number;
}

/** alpha · a b over the last two axes: [..., M, K] · [..., K, N] → [..., M, N]; the other axes broadcast. */
export function matmul(a: Value, b: Value, { transA = false, transB = false, alpha = 1 }: MatmulOptions = {}): Value {
  return apply(matmulOp, [a, b], { transA, transB, alpha });
}
const matmulOp: Op<MatmulAttrs> = {
  name: "MatMul",
  infer: ([a, b], { transA, transB }) => {
    if (a!.shape.length < 2 || b!.shape.length < 2)
      throw new Error(`needs two axes or more, but got ${show(a!.shape)} and ${show(b!.shape)}`);
    const { dtype, rows, columns } = product(a!, b!, transA, transB);
    return { dtype, shape: [...broadcast(a!.shape.slice(0, -2), b!.shape.slice(0, -2)), rows, columns] };
  },
  vjp: (dy, { inputs: [a, b], attrs: { transA, transB, alpha } }) => [
    transA ? matmul(b!, dy, { transA: transB, transB: true, alpha }) : matmul(dy, b!, { transB: !transB, alpha }),
    transB ? matmul(dy, a!, { transA: true, transB: transA, alpha }) : matmul(a!, dy, { transA: !transA, alpha }),
  ],
  lower: (emit, inputs, y) => {
    const { transA, transB, alpha } = y.attrs;
    if (!transA && !transB && alpha === 1) return emit.node("MatMul", inputs);
    const attrs = { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } };
    if (y.dtype === "float32" && emit.target === "cpu")
      return emit.node("FusedMatMul", inputs, attrs, { domain: "com.microsoft" });
    if (emit.target === "device" && y.inputs.every(({ shape }) => shape.length === 2))
      return emit.node("Gemm", inputs, attrs); // takes matrices as they lie
    if (alpha !== 1 && y.dtype !== "float32" && emit.target !== "device")
      throw new Error(`MatMul: alpha needs float32, but the type is ${y.dtype}`);
    const swap = (name: string, shape: Shape) => {
      const axes = shape.map((_, i) => i);
      return emit.node("Transpose", [name], { perm: [...axes.slice(0, -2), axes.length - 1, axes.length - 2] });
    };
    const scale = () => emit.constant(tensor("float32", [], Float32Array.of(alpha)));
    const [left, right] = y.inputs.map(({ shape }) => shape) as [Shape, Shape];
    const smaller = emit.target === "device" && sizeOf(right) < sizeOf(left) ? 1 : 0;
    const scaled = inputs.map((each, i) => (alpha === 1 || i !== smaller ? each : emit.node("Mul", [each, scale()])));
    const a = transA ? swap(scaled[0]!, left) : scaled[0]!;
    const b = transB ? swap(scaled[1]!, right) : scaled[1]!;
    return emit.node("MatMul", [a, b]);
  },
};

export interface GemmOptions {
  transA?: boolean;
  transB?: boolean;
  /** Added to the product, broadcast to [M, N]. */
  c?: Value;
}
interface GemmAttrs extends Attrs {
  readonly transA: boolean;
  readonly transB: boolean;
}

/** a b + c of matrices: [M, K] · [K, N] (+ c) → [M, N]. */
export function gemm(a: Value, b: Value, { transA = false, transB = false, c }: GemmOptions = {}): Value {
  return apply(gemmOp, c === undefined ? [a, b] : [a, b, c], { transA, transB });
}
export const gemmOp: Op<GemmAttrs> = {
  name: "Gemm",
  infer: ([a, b, c], { transA, transB }) => {
    if (a!.shape.length !== 2 || b!.shape.length !== 2)
      throw new Error(`needs two matrices, but got ${show(a!.shape)} and ${show(b!.shape)}`);
    const { dtype, rows, columns } = product(a!, b!, transA, transB);
    const shape = [rows, columns];
    if (c !== undefined && show(broadcast(c.shape, shape)) !== show(shape))
      throw new Error(`cannot add ${show(c.shape)} to a product of shape ${show(shape)}`);
    return { dtype, shape };
  },
  vjp: (dy, { inputs: [a, b], attrs: { transA, transB } }) => [
    transA ? gemm(b!, dy, { transA: transB, transB: true }) : gemm(dy, b!, { transB: !transB }),
    transB ? gemm(dy, a!, { transA: true, transB: transA }) : gemm(a!, dy, { transA: !transA }),
    dy,
  ],
  lower: (emit, inputs, y) => {
    const { shape, inputs: operands, attrs } = y;
    const [a, b, c] = inputs as [string, string, string?];
    const product = { transA: Number(attrs.transA), transB: Number(attrs.transB) };
    // The runtime spreads a bias over the result on one thread before it multiplies on all of them; Add has all of them.
    const spread = c !== undefined && sizeOf(operands[2]!.shape) < sizeOf(shape);
    if (emit.target !== "cpu" || !spread) return emit.node("Gemm", inputs, product);
    return emit.node("Add", [emit.node("Gemm", [a, b], product), c]);
  },
};

function product(
  a: Value,
  b: Value,
  transA: boolean,
  transB: boolean,
): Pick<Type, "dtype"> & Record<"rows" | "columns", number> {
  const [rows, inner] = transA ? [a.shape.at(-1)!, a.shape.at(-2)!] : [a.shape.at(-2)!, a.shape.at(-1)!];
  const [innerB, columns] = transB ? [b.shape.at(-1)!, b.shape.at(-2)!] : [b.shape.at(-2)!, b.shape.at(-1)!];
  const text = (x: Value, swapped: boolean) => show(x.shape) + (swapped ? " transposed" : "");
  if (a.dtype !== b.dtype || inner !== innerB)
    throw new Error(`cannot multiply ${a.dtype}${text(a, transA)} by ${b.dtype}${text(b, transB)}`);
  return { dtype: a.dtype, rows, columns };
}
