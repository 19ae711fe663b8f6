/** How numbers come to a device, move on it and come back: by graphs, which are compiled when they are first needed. */
import { type Shape, show, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import type { Value } from "../graph/value.ts";
import type { Backend, Executable, Handle } from "./backend.ts";
import { DeviceTensor, groupsOf, viewOf } from "./device-tensor.ts";
import type { RuntimeTensor } from "./executable.ts";

export function deviceMoves(compile: Backend["compile"]) {
  const programs = new Map<string, Promise<Executable>>();

  /** A graph that is compiled when it is first needed. */
  const program = (key: string, outputs: () => Readonly<Record<string, Value>>, bound: readonly string[]) => {
    const found = programs.get(key) ?? compile(outputs(), bound);
    programs.set(key, found);
    return found;
  };

  /** Copies from the host, on the device or to the host, a group at a time: one graph for each set of shapes. */
  async function pass(
    sources: ReadonlyMap<string, Handle>,
    targets?: ReadonlyMap<string, DeviceTensor>,
  ): Promise<Map<string, Tensor<"float32">>> {
    const found = new Map<string, Tensor<"float32">>();
    for (const group of groupsOf([...sources], ([, { shape }]) => sizeOf(shape))) {
      const shapes = group.map(([, { shape }]) => shape);
      const outputs = () =>
        Object.fromEntries(shapes.map((shape, i) => [`to${i}`, op.input(`from${i}`, "float32", shape)]));
      const bound = targets === undefined ? [] : shapes.map((_, i) => `to${i}`);
      const copy = await program(`pass ${bound.length} ${shapes.map(show).join()}`, outputs, bound);
      if (targets !== undefined)
        copy.bind({ outputs: Object.fromEntries(group.map(([name], i) => [`to${i}`, viewOf(targets.get(name)!)])) });
      const results = await copy.run(Object.fromEntries(group.map(([, handle], i) => [`from${i}`, handle])));
      if (targets === undefined)
        for (const [i, [name]] of group.entries()) found.set(name, results[`to${i}`] as Tensor<"float32">);
    }
    return found;
  }

  const zeros = new Map<string, RuntimeTensor>();
  /** Zeros of a shape, which all that are zero share. */
  async function zeroOf(shape: Shape): Promise<RuntimeTensor> {
    const key = show(shape);
    if (!zeros.has(key)) {
      const place = new DeviceTensor(shape);
      await pass(new Map([["zero", tensor("float32", shape)]]), new Map([["zero", place]]));
      zeros.set(key, place.as(shape));
    }
    return zeros.get(key)!;
  }
  async function zero(list: Iterable<DeviceTensor>) {
    for (const place of list) place.replace(await zeroOf(place.shape), true);
  }

  return {
    program,
    pass,
    zero,
    /** After the tensors that these graphs have made. */
    async release() {
      for (const value of zeros.values()) value.dispose();
      for (const each of programs.values()) await (await each).release();
    },
  };
}
