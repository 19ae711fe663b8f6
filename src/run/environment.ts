/** environment.json: where a run was made, so that somebody else can make it again. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { arch, cpus, platform } from "node:os";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { machineBytes, processors } from "../backend/machine.ts";

export const environmentSchema = z.object({
  /** Version of layergraft, Node and ONNX Runtime. */
  layergraft: z.string(),
  node: z.string(),
  onnxruntime: z.string(),
  /** Commit of layergraft when it runs from a checkout, and whether files differed from it. */
  commit: z.string().optional(),
  modified: z.boolean().optional(),
  /** Operating system and processor architecture, as `linux x64`. */
  platform: z.string(),
  cpu: z.string(),
  /** Processors and main memory in bytes that the process could use. */
  cores: z.number(),
  memory: z.number(),
  seed: z.number(),
  /** ISO time of the first start, in UTC. */
  started: z.string(),
  /** The command line that starts the run again. */
  command: z.string().optional(),
});
export type Environment = z.infer<typeof environmentSchema>;

/** What this process knows about its machine. `onnxruntime` is the engine's version; `command` what the user typed. */
export function describeEnvironment(options: { seed: number; onnxruntime: string; command?: string }): Environment {
  return {
    layergraft: ownVersion(),
    node: process.versions.node,
    onnxruntime: options.onnxruntime,
    ...checkoutOf(packageFolder),
    platform: `${platform()} ${arch()}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: processors(),
    memory: machineBytes(),
    seed: options.seed,
    started: new Date().toISOString(),
    ...(options.command === undefined ? {} : { command: options.command }),
  };
}

const packageFolder = fileURLToPath(new URL("../../../", import.meta.url));
const packageSchema = z.object({ version: z.string() });

/** Version of layergraft. */
export function ownVersion(): string {
  return packageSchema.parse(JSON.parse(readFileSync(`${packageFolder}package.json`, "utf8"))).version;
}

/** Commit of the checkout at `folder`. An installed package has none, even when the user's project around it has. */
function checkoutOf(folder: string): { commit?: string; modified?: boolean } {
  if (!existsSync(`${folder}.git`)) return {};
  try {
    const git = (...args: string[]) =>
      execFileSync("git", ["-C", folder, ...args], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
    return { commit: git("rev-parse", "HEAD"), modified: git("status", "--porcelain") !== "" };
  } catch {
    return {}; // git is not installed, or the repository has no commit yet
  }
}
