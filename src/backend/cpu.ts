/** The CPU: graphs by ONNX Runtime, the training state in WebAssembly memory that the runtime reads and writes in place. */
import { sameShape, type Shape, show } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { type AdamWOptions, type Allocation, type Backend, cachedRows, type State } from "./backend.ts";
import { compile, type ExecutableOptions } from "./executable.ts";
import { allocateBlocks, type Block } from "./memory.ts";

export function cpu(options: ExecutableOptions = {}): Backend {
  return { name: "cpu", cachedRows, compile: (outputs) => compile(outputs, options), allocate };
}

/**
 * A block of memory a variable, with the arrays that one pass reads together: its values `w`; where it is trained its
 * gradient `g` and moments `m` and `v`; and `copy`, the values of the variable that is averaged with it.
 */
async function allocate({ variables, trained, averaged, optimizer }: Allocation): Promise<State> {
  const copyOf = new Map(averaged.map(({ source, target }) => [source, target]));
  const targets = new Set(averaged.map(({ target }) => target));
  const own = variables.filter(({ name }) => !targets.has(name));
  const allocated = await allocateBlocks(
    own.map(({ name, shape }) => ({
      shape,
      arrays: ["w", ...(trained.has(name) ? ["g", "m", "v"] : []), ...(copyOf.has(name) ? ["copy"] : [])],
    })),
  );
  const blocks = new Map(own.map(({ name }, i) => [name, allocated[i]!]));
  const byName = new Map(variables.map((variable) => [variable.name, variable]));
  const values = new Map<string, Tensor<"float32">>();
  for (const [name, { tensors }] of blocks) {
    values.set(name, tensors["w"]!);
    if (copyOf.has(name)) values.set(copyOf.get(name)!, tensors["copy"]!);
  }
  const ofTrained = (array: "g" | "m" | "v", prefix = "") =>
    variables.flatMap(({ name }) =>
      trained.has(name) ? [[prefix + name, blocks.get(name)!.tensors[array]!] as const] : [],
    );
  const trainedBlocks = [...byName.keys()].filter((name) => trained.has(name)).map((name) => blocks.get(name)!);
  const gradients = new Map(ofTrained("g"));
  const inOrder = variables.map(({ name }) => [name, values.get(name)!] as const);
  const all = new Map([...inOrder, ...ofTrained("m", "optimizer.m."), ...ofTrained("v", "optimizer.v.")]);

  return {
    variables: byName,
    trained,
    async read({ moments = false } = {}) {
      return new Map(moments ? all : inOrder);
    },
    async write(given) {
      const used: string[] = [];
      for (const [name, target] of all) {
        const source = given.get(name);
        if (source === undefined) continue;
        if (source.dtype !== "float32" || !sameShape(source.shape, target.shape))
          throw new Error(
            `${name} has the shape ${show(target.shape)} here, but ${source.dtype}${show(source.shape)} in the checkpoint`,
          );
        fill(target, source as Tensor<"float32">);
        used.push(name);
      }
      return used;
    },
    async readGradients(names = trained) {
      return new Map([...gradients].filter(([name]) => names.has(name)));
    },
    async writeGradients(given) {
      for (const [name, value] of given) fill(gradients.get(name)!, value);
    },
    handle(name, what = "value", shape?: Shape) {
      const found = (what === "value" ? values : gradients).get(name);
      if (found === undefined) throw new Error(`the state has no ${what} of ${name}`);
      return shape === undefined ? found : tensor("float32", shape, found.data);
    },
    async zeroGradients() {
      for (const { data } of gradients.values()) data.fill(0);
    },
    async gradientNorm() {
      const squares = trainedBlocks.map(({ kernel, pointers, length }) => kernel.sumOfSquares(pointers["g"]!, length));
      return Math.sqrt(squares.reduce((sum, each) => sum + each, 0));
    },
    async update({ step, rate, scale, treatments, names = trained }) {
      for (const name of gradients.keys()) {
        if (!names.has(name)) continue;
        const { rate: factor, decay } = treatments.get(name)!;
        adamw(blocks.get(name)!, optimizer!, { step, rate: rate * factor, decay, scale });
      }
    },
    async copy(pairs) {
      for (const { source, target } of pairs) fill(values.get(target)!, values.get(source)!);
    },
    async average(pairs, momentum) {
      for (const { source, target } of pairs) {
        const { kernel, pointers, length } = blocks.get(source)!;
        // m·x + (1 - m)·x is x, but for rounding: a table that is as its source's stays so to the bit
        const isTable = byName.get(source)!.role === "constant";
        if (isTable && equal(values.get(target)!.data, values.get(source)!.data)) continue;
        kernel.average(pointers["copy"]!, pointers["w"]!, length, momentum);
      }
    },
    async release() {},
  };
}

/**
 * One AdamW update of a block with arrays `w`, `g`, `m`, `v` in place, as PyTorch computes it; clears `g`.
 * `step` counts from 1; `scale` multiplies the gradient (clipping).
 */
export function adamw(
  { kernel, pointers, length }: Block,
  { betas: [beta1, beta2], epsilon, weightDecay }: AdamWOptions,
  { step, rate, decay, scale = 1 }: { step: number; rate: number; decay: boolean; scale?: number },
) {
  const { w, g, m, v } = pointers as Record<"w" | "g" | "m" | "v", number>;
  const corrections = [1 - beta1 ** step, 1 - beta2 ** step] as const;
  kernel.adamw(w, g, m, v, length, rate, decay ? weightDecay : 0, beta1, beta2, epsilon, ...corrections, scale);
}

/** What was read and is written back is the same memory, and stays as it is. */
function fill(target: Tensor<"float32">, source: Tensor<"float32">) {
  if (target.data !== source.data) target.data.set(source.data);
}

function equal(a: Float32Array, b: Float32Array): boolean {
  return a.every((value, i) => value === b[i]);
}
