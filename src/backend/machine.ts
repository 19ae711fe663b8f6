/** What this process may use of its machine: a container or a job has limits that the host's numbers do not show. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { posix } from "node:path";

/** Memory, bytes. */
export function machineBytes(): number {
  const limit = process.constrainedMemory(); // 0 or beyond everything where there is none
  return Math.min(totalmem(), limit > 0 ? limit : Infinity, cgroupLimits().bytes);
}

/** Processors that processes here share: those of the machine, or of the container. */
export function sharedProcessors(): number {
  return Math.min(Math.max(1, cpus().length), wholeProcessors());
}

/** Processors that this process may use: it may be bound to some of them. */
export function processors(): number {
  return Math.min(availableParallelism(), wholeProcessors());
}

/** Threads where nobody says how many; undefined where the whole machine may be used, for the runtime to choose. */
export function ownThreads(): number | undefined {
  return processors() < cpus().length ? processors() : undefined;
}

/** A part of a processor is worth a thread. */
function wholeProcessors(): number {
  return Math.max(1, Math.ceil(cgroupLimits().processors));
}

export interface Limits {
  readonly bytes: number;
  readonly processors: number;
}

/** The least that any control group around this process allows, of either version; infinite where there is no limit. */
export function cgroupLimits(root = "/"): Limits {
  const read = (path: string) => {
    try {
      return readFileSync(posix.join(root, path), "utf8").trim();
    } catch {
      return ""; // no Linux, or no such group
    }
  };
  let [bytes, share] = [Infinity, Infinity];
  const atMost = (limit: number) => (limit > 0 ? limit : Infinity); // "max", -1 and nothing are none
  for (const line of read("proc/self/cgroup").split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined) continue;
    // a container sees its own group as the root, even where the path is the host's
    for (let at = path; ; at = posix.dirname(at)) {
      const file = (group: string, name: string) => read(posix.join("sys/fs/cgroup", group, at, name));
      if (controllers === "") {
        for (const name of ["memory.max", "memory.high"]) bytes = Math.min(bytes, atMost(Number(file("", name))));
        const [quota, period] = file("", "cpu.max").split(" ").map(Number);
        share = Math.min(share, atMost(quota! / period!));
      } else if (controllers!.split(",").includes("memory")) {
        bytes = Math.min(bytes, atMost(Number(file("memory", "memory.limit_in_bytes"))));
      } else if (controllers!.split(",").includes("cpu")) {
        const name = controllers!;
        for (const group of ["cpu", name])
          share = Math.min(
            share,
            atMost(Number(file(group, "cpu.cfs_quota_us")) / Number(file(group, "cpu.cfs_period_us"))),
          );
      }
      if (at === posix.dirname(at)) break;
    }
  }
  return { bytes, processors: share };
}
