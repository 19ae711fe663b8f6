/** `layergraft doctor`: what works on this machine, and what to do where something does not. */
import { accessSync, constants, existsSync, readFileSync, statfsSync } from "node:fs";
import { cpus } from "node:os";
import { dirname } from "node:path";
import { Command } from "commander";
import { type Adapter, findAdapter, tryDevice, whyNoCuda } from "../backend/adapter.ts";
import { machineBytes, processors } from "../backend/machine.ts";
import { runtimeVersion } from "../backend/executable.ts";
import { loadMpi } from "../collective/library.ts";
import { cacheFolder } from "../data/cache-folder.ts";
import { readInstalled, styles, versionOf } from "../data/sources/emoji/installed.ts";
import { messageOf } from "../run/errors.ts";
import { ownVersion } from "../run/environment.ts";
import { findBrowser } from "./browser.ts";
import { createOutput } from "./progress.ts";

export interface Finding {
  readonly name: string;
  /** `missing` is what one can do without; `broken` is what was asked for or cannot be missed, and does not work. */
  readonly state: "ok" | "missing" | "broken";
  readonly found: string;
}

export function doctorCommand(): Command {
  return new Command("doctor")
    .description(
      "say what works on this machine: devices, memory, versions, MPI, browser; and what to do where it does not",
    )
    .option("--json", "print the findings as JSON", false)
    .addHelpText(
      "after",
      "\nIt ends with an error only where something is broken, not where something is missing.\n" +
        "\nExamples:\n  layergraft doctor\n  layergraft doctor --json",
    )
    .action(async ({ json }: { json: boolean }) => {
      const output = createOutput({ json });
      const findings = await examine();
      output.say(format(findings));
      output.result({ kind: "doctor", findings });
      if (findings.some(({ state }) => state === "broken")) process.exitCode = 1;
    });
}

/** All findings about this machine, in the order in which they are shown. */
export async function examine(): Promise<Finding[]> {
  const [runtime, adapter, noCuda] = await Promise.all([tryDevice("cpu"), findAdapter(), whyNoCuda()]);
  return [
    node(),
    ok("layergraft", ownVersion()),
    runtime.failure === null
      ? ok("ONNX Runtime", runtimeVersion)
      : { name: "ONNX Runtime", state: "broken", found: `${runtimeVersion} does not compute: ${runtime.failure}` },
    ok("processors", describeProcessors()),
    ok("memory", `${gigabytes(machineBytes())} usable`),
    webgpu(adapter),
    noCuda === undefined ? ok("CUDA", "works: --device cuda") : missing("CUDA", noCuda),
    await asked("MPI", "LAYERGRAFT_MPI", async () => (await loadMpi(false)).name),
    await asked("browser", "LAYERGRAFT_BROWSER", async () => findBrowser() ?? "none, so pages are not tested"),
    cache(),
    space(),
    await drawings(),
  ];
}

function node(): Finding {
  const { node: version } = process.versions;
  const [major, minor] = version.split(".").map(Number) as [number, number];
  const found = `${version} on ${process.platform} ${process.arch}`;
  if (major > 20 || (major === 20 && minor >= 19)) return ok("Node", found);
  return { name: "Node", state: "broken", found: `${found}, but 20.19 or newer is needed` };
}

function describeProcessors(): string {
  const all = cpus();
  const usable = processors();
  return `${usable === all.length ? "" : `${usable} usable of `}${all.length} × ${all[0]?.model.trim() ?? "unknown"}${wideVectors()}`;
}

/** Whether the processor has AVX-512, where the system says it. */
function wideVectors(): string {
  if (process.platform !== "linux" || process.arch !== "x64" || !existsSync("/proc/cpuinfo")) return "";
  return /^flags\s*:.*\bavx512f\b/m.test(readFileSync("/proc/cpuinfo", "utf8")) ? ", AVX-512" : ", no AVX-512";
}

function webgpu(adapter: Adapter): Finding {
  if ("reason" in adapter) return missing("WebGPU", adapter.reason);
  const { name = "an adapter without a name", isSoftware } = adapter;
  return ok(
    "WebGPU",
    isSoftware
      ? `${name}, which is no known GPU: --device webgpu takes it, auto does not`
      : `${name}: --device webgpu, or --device auto to time it against the processor`,
  );
}

/** What is missing, unless a variable of ours names it: then it is broken. */
async function asked(name: string, variable: string, find: () => Promise<string>): Promise<Finding> {
  try {
    const found = await find();
    return { name, found, state: found.startsWith("none") ? "missing" : "ok" };
  } catch (error) {
    return { name, found: messageOf(error), state: process.env[variable] ? "broken" : "missing" };
  }
}

function cache(): Finding {
  const folder = cacheFolder();
  if (folder === undefined) return ok("cache", "off (LAYERGRAFT_CACHE)");
  const place = nearest(folder);
  try {
    accessSync(place, constants.W_OK);
    return ok("cache", `${folder}, ${free(place)}`);
  } catch {
    return {
      name: "cache",
      state: "broken",
      found: `${folder} cannot be written; set LAYERGRAFT_CACHE to another folder, or to off`,
    };
  }
}

function space(): Finding {
  return ok("this folder", `${process.cwd()}, ${free(process.cwd())}`);
}

async function drawings(): Promise<Finding> {
  try {
    const versions: string[] = [];
    for (const style of styles) versions.push(`${style} ${await versionOf(`@iconify-json/${style}`)}`);
    await readInstalled("emojibase-data/package.json");
    return ok("emoji", versions.join(", "));
  } catch (error) {
    return missing("emoji", `${messageOf(error)} (for the demo alone)`);
  }
}

/** The folder itself, or the one above it that exists. */
function nearest(folder: string): string {
  return existsSync(folder) || dirname(folder) === folder ? folder : nearest(dirname(folder));
}

function free(folder: string): string {
  const { bavail, bsize } = statfsSync(folder);
  return `${gigabytes(bavail * bsize)} free`;
}

const gigabytes = (bytes: number) => `${(bytes / 2 ** 30).toFixed(1)} GiB`;
const ok = (name: string, found: string): Finding => ({ name, state: "ok", found });
const missing = (name: string, found: string): Finding => ({ name, state: "missing", found });

const marks: Readonly<Record<Finding["state"], string>> = { ok: "ok", missing: "–", broken: "!!" };

function format(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ name }) => name.length));
  return findings
    .map(({ name, state, found }) => `${marks[state].padEnd(2)}  ${name.padEnd(width)}  ${found}`)
    .join("\n");
}
