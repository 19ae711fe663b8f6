/** Which process on which machine: for files that a process leaves behind, so that others see whether it still is. */
import { readFileSync, readlinkSync } from "node:fs";
import { hostname } from "node:os";
import { codeOf } from "./errors.ts";

/** Where process numbers mean something. What a system does not say is empty. */
export interface Place {
  readonly host: string;
  /** The host as it was started the last time. */
  readonly boot: string;
  /** The numbers of processes there: containers have their own. */
  readonly space: string;
}

export function here(): Place {
  const orNothing = (read: () => string) => {
    try {
      return read();
    } catch {
      return ""; // not on Linux
    }
  };
  return {
    host: hostname(),
    boot: orNothing(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim()),
    space: orNothing(() => readlinkSync("/proc/self/ns/pid")),
  };
}

/** When a process here was started, in ticks of its own; empty where the system does not say. Undefined when it has ended. */
export function startOf(pid: number): string | undefined {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if (codeOf(error) !== "EPERM") return undefined; // else it exists, and belongs to somebody else
  }
  let line: string;
  try {
    line = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return "";
  }
  // the name in brackets may hold anything: see proc(5)
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
}
