/** What a figure has to say with it: where it was measured, by which versions, and how much memory it took. */
import { readFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";
import { runtimeVersion } from "../src/backend/executable.ts";
import { describeEnvironment } from "../src/run/environment.ts";

/** Processor, cores and load. */
export function machine(): string {
  const flags = read("/proc/cpuinfo");
  const wide = flags === undefined ? "" : flags.includes(" avx512f ") ? ", AVX-512" : ", no AVX-512";
  return `${cpus()[0]?.model.trim() ?? "unknown processor"}${wide}, ${cpus().length} cores; load before: ${load()}`;
}

export function load(): string {
  return loadavg()
    .map((x) => x.toFixed(2))
    .join(" ");
}

/** Of this checkout and what it runs on. */
export function versions(): string {
  const { layergraft, commit, modified, node } = describeEnvironment({ seed: 0, onnxruntime: runtimeVersion });
  const checkout = commit === undefined ? "" : ` at ${commit.slice(0, 7)}${modified === true ? " with changes" : ""}`;
  return `layergraft ${layergraft}${checkout}, ONNX Runtime ${runtimeVersion}, Node.js ${node}`;
}

/**
 * The most memory that a process has held, in bytes. Linux is asked for it: what getrusage tells may be that of the parent
 * at the moment it started the process.
 */
export function peakBytes(pid: number | "self" = "self"): number {
  const found = /VmHWM:\s+(\d+) kB/.exec(read(`/proc/${pid}/status`) ?? "");
  return found === null ? process.resourceUsage().maxRSS * 1024 : Number(found[1]) * 1024;
}

/** What the processes that a process has started hold now, in bytes; pages that several share are divided among them. */
export function bytesOfChildren(pid: number): number {
  const children = read(`/proc/${pid}/task/${pid}/children`)?.trim().split(" ").filter(Boolean) ?? [];
  return children.map(Number).reduce((sum, child) => {
    const found = /^Pss:\s+(\d+) kB/m.exec(read(`/proc/${child}/smaps_rollup`) ?? "");
    return sum + Number(found?.[1] ?? 0) * 1024 + bytesOfChildren(child);
  }, 0);
}

/** Undefined where there is no such file, as on other systems. */
function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return undefined;
  }
}
