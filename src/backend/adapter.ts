/** Which devices work on this machine, found by trying. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { homedir } from "node:os";
import { basename, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Device } from "./device.ts";
import { hasProvider } from "./executable.ts";

/** A GPU as WebGPU sees it, or one sentence on why there is none and what to do. */
export type Adapter =
  | {
      /** Where the system says it. */
      readonly name?: string;
      /** It computes on the processor, as its name says; or nothing says that it does not. */
      readonly isSoftware: boolean;
    }
  | { readonly reason: string };

/** What came of two numbers that were added on a device, and what its driver logged. */
interface Trial {
  readonly failure: string | null;
  readonly log: string;
}

/** The adapter that WebGPU computes on here; it takes a process of its own and about half a second to find out. */
export async function findAdapter(): Promise<Adapter> {
  if (!hasProvider("webgpu"))
    return {
      reason:
        `ONNX Runtime for Node has no WebGPU on ${process.platform} ${process.arch}; ` +
        "it has it on Linux x64, Windows x64 and arm64, and macOS arm64",
    };
  const trial = await tryDevice("webgpu");
  if (process.platform === "linux") return onVulkan(trial);
  if (trial.failure !== null) return { reason: `WebGPU finds no adapter (${firstLine(trial.failure)})` };
  // Metal of an Apple processor is its GPU; Direct3D may be WARP, which stands in where there is no driver
  if (process.platform === "darwin") return { name: "Metal", isSoftware: false };
  const names = await displayAdapters();
  const hardware = names.find((name) => !isSoftware(name));
  return { ...(names.length === 0 ? {} : { name: hardware ?? names[0]! }), isSoftware: hardware === undefined };
}

/** Why ONNX Runtime's CUDA provider cannot be used here; undefined when it can. */
export async function whyNoCuda(): Promise<string | undefined> {
  if (!hasProvider("cuda"))
    return `ONNX Runtime for Node has no CUDA on ${process.platform} ${process.arch}; it has it on Linux x64`;
  const { failure } = await tryDevice("cuda");
  if (failure === null) return undefined;
  return /shared library/i.test(failure)
    ? "ONNX Runtime's CUDA libraries are not installed; with an NVIDIA card: npm rebuild onnxruntime-node --ignore-scripts=false"
    : `the CUDA provider fails (${firstLine(failure)})`;
}

/** Whether the name of a device or of its driver's file is that of a known one that computes on the processor. */
export function isSoftware(name: string): boolean {
  return /swiftshader|llvmpipe|lavapipe|lvp_|softpipe|\bwarp\b|basic (render|display)|software|remote display/i.test(
    name,
  );
}

/** The Vulkan loader says what it finds, and which device is opened in the end. */
export function onVulkan({ failure, log }: Trial): Adapter {
  const opened = /Using "(.+?)" with driver/.exec(log)?.[1];
  const found = [...new Set([...log.matchAll(/\[\d+\] (.+?)\s*$/gm)].map(([, name]) => name!))];
  if (failure === null) {
    const name = opened ?? found[0];
    if (name !== undefined) return { name, isSoftware: isSoftware(name) };
    return { isSoftware: driverFiles().every(isSoftware) }; // a loader that says nothing
  }
  const install = "apt install libvulkan1 mesa-vulkan-drivers, or NVIDIA's driver";
  const variable = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"].find((name) => process.env[name]);
  const missing = variable && process.env[variable]!.split(delimiter).find((path) => !existsSync(path));
  if (!/\b(LAYER|DRIVER)\b.*:/.test(log))
    return { reason: `WebGPU needs Vulkan, whose library libvulkan.so.1 was not found: ${install}` };
  if (missing !== undefined && found.length === 0)
    return { reason: `WebGPU needs a Vulkan driver, but ${variable} names ${missing}, where no file is` };
  if (found.length === 0)
    return {
      reason: `WebGPU needs a Vulkan driver, and none works here: ${install}; a container must be given the GPU`,
    };
  return { reason: `WebGPU cannot use what Vulkan has here, ${found.join(" and ")} (${firstLine(failure)})` };
}

/** Adds two numbers on a device, in a process of its own. */
export function tryDevice(device: Device): Promise<Trial> {
  const entry = fileURLToPath(new URL("./try-device.js", import.meta.url));
  const env = { ...process.env, VK_LOADER_DEBUG: "all", NODE_OPTIONS: "" };
  return new Promise((resolve) => {
    const options = { env, timeout: 60_000, maxBuffer: 2 ** 26 };
    execFile(process.execPath, [entry, device], options, (error, stdout, stderr) => {
      const said = stdout.trimEnd().split("\n").at(-1) ?? "";
      const failure = said.startsWith("{")
        ? (JSON.parse(said) as Pick<Trial, "failure">).failure
        : `the process that tried it ended with ${error?.signal ?? `exit code ${error?.code ?? 0}`}`;
      resolve({ failure, log: `${stdout}\n${stderr}` });
    });
  });
}

/** The files that tell the Vulkan loader of drivers. */
function driverFiles(): string[] {
  const given = process.env["VK_DRIVER_FILES"] ?? process.env["VK_ICD_FILENAMES"];
  if (given !== undefined) return given.split(delimiter).map((path) => basename(path));
  const folders = ["/etc", "/usr/share", "/usr/local/share", join(homedir(), ".local", "share")];
  return folders
    .map((folder) => join(folder, "vulkan", "icd.d"))
    .flatMap((folder) => (existsSync(folder) ? readdirSync(folder) : []));
}

/** Windows' own list; empty when it cannot be asked. */
function displayAdapters(): Promise<string[]> {
  const query = ["-NoProfile", "-Command", "(Get-CimInstance Win32_VideoController).Name"];
  return new Promise((resolve) =>
    execFile("powershell", query, { timeout: 20_000 }, (error, stdout) => {
      const names = stdout.split(/\r?\n/).map((name) => name.trim());
      resolve(error === null ? names.filter((name) => name !== "") : []);
    }),
  );
}

/** Of a message of the runtime what it says, without the place in its source that says it. */
export function firstLine(message: string): string {
  const [line] = message.split("\n");
  return (/ was false\. (.+)$/.exec(line!)?.[1] ?? line!).trim().replace(/\.$/, "");
}
