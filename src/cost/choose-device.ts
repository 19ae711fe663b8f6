/** Which device a recipe is trained on where nobody says which: the one that is faster here, as measured. */
import { type Adapter, findAdapter } from "../backend/adapter.ts";
import type { Device } from "../backend/device.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { apart } from "./apart.ts";
import { type Estimate, totalSeconds } from "./estimate.ts";

export interface DeviceChoice {
  readonly device: Device;
  readonly adapter: Adapter;
  /** Of the whole run, on each device that was timed. */
  readonly seconds: { readonly [D in Device]?: number };
  /** Why the adapter was not timed to the end. */
  readonly failure?: string;
}

/**
 * Times a few steps of every stage on the processor and on the GPU, each in a process of its own. Without a GPU nothing is
 * timed, and an adapter that computes on the processor is none.
 */
export async function chooseDevice(recipe: Recipe, found?: Adapter): Promise<DeviceChoice> {
  const adapter = found ?? (await findAdapter());
  if ("reason" in adapter || adapter.isSoftware) return { device: "cpu", adapter, seconds: {} };
  const timed = async (device: Device) => {
    const { stages } = await apart<Estimate>({ recipe: { ...recipe, device } }, `the timing of steps on ${device}`);
    return totalSeconds(stages);
  };
  const cpu = await timed("cpu");
  try {
    const webgpu = await timed("webgpu");
    return { device: webgpu < cpu ? "webgpu" : "cpu", adapter, seconds: { cpu, webgpu } };
  } catch (error) {
    return { device: "cpu", adapter, seconds: { cpu }, failure: (error as Error).message };
  }
}
