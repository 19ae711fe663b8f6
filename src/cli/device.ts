/** `--device`, the same for all commands that compute. */
import { Option } from "commander";
import { type Device, devices } from "../backend/device.ts";
import { chooseDevice } from "../cost/choose-device.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { duration, type Output } from "./progress.ts";

/** `what` it computes, with the default where that is not cpu. */
export function deviceOption(what: string): Option {
  return new Option("--device <name>", `${what}: ${devices.join(", ")} (docs/devices.md)`).choices(devices);
}

/** The same with `auto`, for what can be timed beforehand. */
export function deviceOrAutoOption(): Option {
  const help =
    "that takes the training steps: cpu (default), webgpu, cuda, or auto: the faster of cpu and webgpu as measured here";
  return new Option("--device <name>", help).choices([...devices, "auto"]);
}

/** The device that is meant, measured and told of when it is `auto`; undefined when it is the recipe's. */
export async function resolveDevice(
  asked: Device | "auto" | undefined,
  recipe: Recipe,
  output: Output,
): Promise<Device | undefined> {
  if (asked !== "auto") return asked;
  output.work("timing a few steps on cpu and webgpu", 0, 1);
  const choice = await chooseDevice(recipe);
  output.work("", 1, 1);
  output.say(describeChoice(choice));
  return choice.device;
}

/** The choice in one line, with the estimate for each device. */
export function describeChoice({
  device,
  adapter,
  seconds,
  failure,
}: Awaited<ReturnType<typeof chooseDevice>>): string {
  if ("reason" in adapter) return `device cpu: ${adapter.reason}`;
  const { name = "an adapter without a name" } = adapter;
  if (adapter.isSoftware) return `device cpu: of WebGPU there is only ${name} here, which is no known GPU`;
  if (failure !== undefined) return `device cpu: steps on ${name} fail (${failure})`;
  const times = Object.entries(seconds).map(([each, time]) => `${each} about ${duration(time)}`);
  return `device ${device}, the faster one for this run: ${times.join(", ")} (webgpu is ${name})`;
}
