import { bytesOf } from "../tensor/dtype.ts";
import { sizeOf } from "../tensor/shape.ts";
import { reachable, type Value } from "./value.ts";

/**
 * The most bytes that intermediate values take at one moment, when the outputs are computed value by value in the order of
 * the graph and each is freed after its last use. Inputs, constants and the outputs themselves are somebody else's memory.
 * A reshaped value is the same memory. What a runtime adds (padding, scratch space) is not counted.
 */
export function mostAlive(outputs: readonly Value[]): number {
  const order = reachable(outputs);
  const lastUse = new Map<Value, number>();
  for (const [i, value] of order.entries()) for (const each of value.inputs) lastUse.set(memoryOf(each), i);
  for (const output of outputs) lastUse.delete(memoryOf(output));
  const bytes = (value: Value) =>
    lastUse.has(value) && value.inputs.length > 0 ? sizeOf(value.shape) * bytesOf(value.dtype) : 0;
  let [alive, most] = [0, 0];
  for (const [i, value] of order.entries()) {
    if (memoryOf(value) === value) most = Math.max(most, (alive += bytes(value)));
    for (const each of new Set(value.inputs.map(memoryOf))) if (lastUse.get(each) === i) alive -= bytes(each);
  }
  return most;
}

/** The value whose memory this one is. */
function memoryOf(value: Value): Value {
  return value.op.name === "Reshape" || value.op.name === "Identity" ? memoryOf(value.inputs[0]!) : value;
}
