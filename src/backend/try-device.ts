/**
 * Entry of a process that adds two numbers on a device and writes to stdout what came of it, as JSON. Another process,
 * since a driver may end the one it is loaded in, and what it logs is to be read.
 */
import { tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import { compile } from "./executable.ts";
import type { Device } from "./device.ts";

const device = process.argv[2] as Device;
const x = op.input("x", "float32", [2]);
let failure: string | null = null;
try {
  const program = await compile({ y: op.add(x, x) }, { provider: device });
  const { y } = await program.run({ x: tensor("float32", [2], Float32Array.of(1, 2)) });
  if (y!.data[0] !== 2 || y!.data[1] !== 4) failure = `it adds 1 and 1 to ${y!.data[0]}`;
  await program.release();
} catch (error) {
  failure = (error as Error).message;
}
process.stdout.write(`\n${JSON.stringify({ failure })}\n`);
