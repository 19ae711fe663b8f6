/**
 * lock.json: which process writes into a folder, so that no second one does. Written by ourselves: what npm has for it keeps
 * locks alive by a timer, which does not run while a step blocks the event loop, and knows nothing of the host.
 */
import { randomUUID } from "node:crypto";
import { existsSync, linkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { z } from "zod";
import { shown } from "../tensor/text.ts";
import { removeLeftovers, writing } from "./atomic.ts";
import { codeOf } from "./errors.ts";
import { readJson, writeJson } from "./json.ts";
import { here, type Place, startOf } from "./process.ts";

export const lockName = "lock.json";

const lockSchema = z.object({
  /** Tells this holding of the lock from any other. */
  id: z.string(),
  host: z.string(),
  boot: z.string(),
  space: z.string(),
  processes: z.array(z.object({ pid: z.int(), start: z.string() })),
  /** ISO time in UTC, and what the process was started as. */
  since: z.string(),
  command: z.string(),
});
type Lock = z.infer<typeof lockSchema>;

/** What holds a folder may let another process write into it as well. */
export interface HeldLock {
  add(pid: number): void;
}

/**
 * Holds the lock of an existing folder while `work` is done. Throws one sentence when another process has it; of one that
 * is no longer there the lock is taken over, with what it left half-written removed.
 */
export async function locked<T>(dir: string, command: string, work: (lock: HeldLock) => Promise<T>): Promise<T> {
  const path = join(dir, lockName);
  let own: Lock = {
    id: randomUUID(),
    ...here(),
    processes: [started(process.pid)],
    since: new Date().toISOString(),
    command,
  };
  acquire(path, own);
  const release = () => {
    process.off("exit", release);
    try {
      if (read(path)?.id === own.id) rmSync(path);
    } catch {
      // the folder went away, or its disk: whoever comes next sees that this process has ended
    }
  };
  process.on("exit", release);
  try {
    for (const folder of [dir, join(dir, "checkpoints"), join(dir, "samples")])
      if (existsSync(folder)) removeLeftovers(folder);
    return await work({
      add(pid) {
        own = { ...own, processes: [...own.processes, started(pid)] };
        writeJson(path, own);
      },
    });
  } finally {
    release();
  }
}

function acquire(path: string, own: Lock): void {
  while (!create(path, own)) {
    const other = read(path);
    if (other === undefined) continue; // released in between
    refuseIfHeld(path, other);
    remove(path, other, own.id);
  }
}

/** Makes the lock, with its content at once where the file system has hard links; false when there is one. */
function create(path: string, own: Lock): boolean {
  const text = `${JSON.stringify(own, null, 2)}\n`;
  const temporary = `${path}.${own.id}`;
  return writing(path, () => {
    try {
      writeFileSync(temporary, text, { flag: "wx" });
      try {
        linkSync(temporary, path);
      } catch (error) {
        if (codeOf(error) === "EEXIST") return false;
        writeFileSync(path, text, { flag: "wx" });
      }
      return true;
    } catch (error) {
      if (codeOf(error) === "EEXIST") return false;
      throw error;
    } finally {
      rmSync(temporary, { force: true });
    }
  });
}

/** Removes the lock that was found, and puts back the one that somebody else took over in between. */
function remove(path: string, found: Lock, id: string): void {
  const aside = `${path}.${id}`;
  try {
    renameSync(path, aside);
    if (read(aside)?.id !== found.id) linkSync(aside, path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT" && codeOf(error) !== "EEXIST") throw error;
  } finally {
    rmSync(aside, { force: true });
  }
}

function refuseIfHeld(path: string, { processes, since, command, ...place }: Lock): void {
  const known = whereabouts(place);
  if (known === "restarted") return;
  const holder = known === "here" ? processes.find(isThere) : processes[0];
  if (holder === undefined) return;
  const where = {
    here: "on this machine",
    container: `in another container on ${place.host}`,
    host: `on ${place.host}`,
  };
  const start = `${since.slice(0, 16).replace("T", " ")} UTC`;
  throw new Error(
    `${dirname(path)} is in use by process ${holder.pid} ${where[known]} (${shown(command)}, since ${start}): ` +
      "wait until it ends, or stop it first" +
      (known === "here" ? "" : `; if it no longer runs there, remove ${path} and try again`),
  );
}

/** Where somebody was: "restarted" means on this machine, before it was started the last time. */
function whereabouts({ host, boot, space }: Place): "here" | "restarted" | "container" | "host" {
  const own = here();
  if (host !== own.host) return "host";
  if (boot !== own.boot) return "restarted";
  return space === own.space ? "here" : "container";
}

function started(pid: number): Lock["processes"][number] {
  return { pid, start: startOf(pid) ?? "" };
}

/** A number is given to another process after some time, which then was started at another one. */
function isThere({ pid, start }: Lock["processes"][number]): boolean {
  const now = startOf(pid);
  return now !== undefined && (now === start || now === "" || start === "");
}

function read(path: string): Lock | undefined {
  return readJson(path, lockSchema);
}
