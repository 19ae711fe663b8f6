import * as op from "../../src/graph/ops/index.ts";
import { webgpu } from "../../src/backend/webgpu.ts";

let found: Promise<boolean> | undefined;

/** Whether WebGPU works here, on whatever adapter; says so where it does not, since tests are skipped then. */
export function adapter(): Promise<boolean> {
  return (found ??= look());
}

async function look(): Promise<boolean> {
  try {
    const program = await webgpu().compile({ y: op.neg(op.input("x", "float32", [1])) });
    await program.release();
    return true;
  } catch {
    console.log("no WebGPU adapter: its tests are skipped");
    return false;
  }
}
