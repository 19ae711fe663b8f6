import { fold, type Key, Random } from "../tensor/random.ts";
import { type Shape, sizeOf } from "../tensor/shape.ts";

/** First values of a variable from its shape and its own random key. */
export type Initializer = (shape: Shape, key: Key) => Float32Array;

export const zeros: Initializer = (shape) => new Float32Array(sizeOf(shape));
export const ones: Initializer = (shape) => new Float32Array(sizeOf(shape)).fill(1);

/** U(-bound, bound). */
export function uniform(bound: number): Initializer {
  return (shape, key) => {
    const random = new Random(key);
    return Float32Array.from({ length: sizeOf(shape) }, () => random.uniform(-bound, bound));
  };
}

/** N(0, deviation²). */
export function normal(deviation: number): Initializer {
  return (shape, key) => {
    const random = new Random(key);
    return Float32Array.from({ length: sizeOf(shape) }, () => deviation * random.normal());
  };
}

/**
 * Xavier-uniform of a linear weight [out, in]: U(±sqrt(6 / (in + out))). `matrices` says that the rows stack several
 * matrices, each with its own fan-out: MoCo v3 treats qkv so, MAE does not.
 */
export function xavierUniform(matrices = 1): Initializer {
  return (shape, key) => {
    const fanOut = shape[0]! / matrices;
    const fanIn = sizeOf(shape) / shape[0]!;
    return uniform(Math.sqrt(6 / (fanIn + fanOut)))(shape, key);
  };
}

/** PyTorch's default for Linear and Conv weights and biases: U(±1 / sqrt(fanIn)). */
export function torchDefault(fanIn: number): Initializer {
  return uniform(1 / Math.sqrt(fanIn));
}

/**
 * Fixed two-dimensional sine-cosine position embedding [1, 1 + grid², width]; the class token's row is zero.
 * One half of the channels encodes the column, the other the row, each as [sin, cos] with frequencies
 * 10000^(-k / (width/4)). MAE puts the column first, MoCo v3 the row.
 */
export function sinCos2d(grid: number, layout: "mae" | "mocov3"): Initializer {
  return (shape) => {
    const width = shape[2]!;
    if (width % 4 !== 0) throw new Error(`a sine-cosine position embedding needs a width divisible by 4, not ${width}`);
    const quarter = width / 4;
    const table = new Float32Array(sizeOf(shape));
    for (let row = 0; row < grid; row++)
      for (let column = 0; column < grid; column++) {
        const start = (1 + row * grid + column) * width;
        for (const [half, position] of (layout === "mae" ? [column, row] : [row, column]).entries())
          for (let k = 0; k < quarter; k++) {
            const angle = position * 10000 ** (-k / quarter);
            table[start + half * 2 * quarter + k] = Math.sin(angle);
            table[start + half * 2 * quarter + quarter + k] = Math.cos(angle);
          }
      }
    return table;
  };
}

/** The key from which a variable of this name is drawn: independent of the order of declaration. */
export function variableKey(root: Key, name: string): Key {
  return fold(root, "init", name);
}
