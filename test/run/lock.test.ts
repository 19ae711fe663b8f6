import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { locked, lockName } from "../../src/run/lock.ts";
import { here, startOf } from "../../src/run/process.ts";
import { temporaryFolder } from "./temporary.ts";

/** A lock as a process of the given number, start and place left it. */
function leave(dir: string, changes: { pid?: number; start?: string; host?: string; boot?: string; space?: string }) {
  const { pid = process.ppid, start = startOf(pid) ?? "", ...place } = changes;
  const processes = [{ pid, start }];
  const lock = {
    id: "other",
    ...here(),
    ...place,
    processes,
    since: "2025-01-02T03:04:05.000Z",
    command: "train \x1b[2J",
  };
  writeFileSync(join(dir, lockName), JSON.stringify(lock));
}

const dead = spawnSync(process.execPath, ["-e", ""]).pid;

test("a folder is held while something is done, and free before and after it", async () => {
  const dir = temporaryFolder();
  const result = await locked(dir, "first", async () => {
    expect(readdirSync(dir)).toEqual([lockName]);
    await expect(locked(dir, "second", async () => 1)).rejects.toThrow(
      new RegExp(
        `^${dir} is in use by process ${process.pid} on this machine \\(first, since \\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d UTC\\)`,
      ),
    );
    return 7;
  });
  expect(result).toBe(7);
  expect(readdirSync(dir)).toEqual([]);
  await expect(locked(dir, "fails", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(readdirSync(dir)).toEqual([]);
});

test("what is shown of another's command cannot act on the terminal", async () => {
  const dir = temporaryFolder();
  leave(dir, {});
  await expect(locked(dir, "me", async () => 1)).rejects.toThrow("(train \\x1b[2J, since 2025-01-02 03:04 UTC)");
});

test.each([
  ["a process that has ended", { pid: dead }],
  ["a number that another process has now", { start: "1" }],
  ["this machine before its restart", { boot: "before" }],
])("the lock of %s is taken over, and what it left is removed", async (_, changes) => {
  const dir = temporaryFolder();
  leave(dir, changes);
  writeFileSync(join(dir, `.notes.json.${dead}.tmp`), "");
  if ("start" in changes && startOf(process.pid) === "") return; // a system that does not say when a process started
  await locked(dir, "me", async () => expect(readdirSync(dir)).toEqual([lockName]));
  expect(readdirSync(dir)).toEqual([]);
});

test.each([
  ["another host", { host: "node7" }, "on node7"],
  ["another container", { space: "pid:[1]" }, `in another container on ${hostname()}`],
])("the lock of a process on %s is not judged from here", async (_, changes, where) => {
  const dir = temporaryFolder();
  leave(dir, { pid: dead, ...changes });
  await expect(locked(dir, "me", async () => 1)).rejects.toThrow(
    `is in use by process ${dead} ${where} (train \\x1b[2J, since 2025-01-02 03:04 UTC): wait until it ends, or stop it ` +
      `first; if it no longer runs there, remove ${join(dir, lockName)} and try again`,
  );
  expect(readdirSync(dir)).toEqual([lockName]);
});

test("a lock that is no lock is said to be none", async () => {
  const dir = temporaryFolder();
  writeFileSync(join(dir, lockName), "{}");
  await expect(locked(dir, "me", async () => 1)).rejects.toThrow(`${join(dir, lockName)} is not as expected`);
});

test("a second process that is let in holds the lock as well", async () => {
  const dir = temporaryFolder();
  const child = spawn(process.execPath, ["-e", "setInterval(() => 0, 1000)"]);
  onTestFinished(() => void child.kill("SIGKILL"));
  await locked(dir, "me", async (lock) => {
    lock.add(child.pid!);
    const found = JSON.parse(readFileSync(join(dir, lockName), "utf8")) as { processes: { pid: number }[] };
    expect(found.processes.map(({ pid }) => pid)).toEqual([process.pid, child.pid]);
    leave(dir, { pid: child.pid! }); // the first one has died
  });
  await expect(locked(dir, "me", async () => 1)).rejects.toThrow(`process ${child.pid} on this machine`);
  child.kill("SIGKILL");
  await once(child, "exit");
  expect(await locked(dir, "me", async () => 1)).toBe(1);
});

test("of many that start at once, one has it at a time", async () => {
  const dir = temporaryFolder();
  leave(dir, { pid: dead });
  const module = JSON.stringify(new URL("../../src/run/lock.js", import.meta.url));
  const script = `
    const { locked } = await import(${module});
    const { existsSync, rmSync, writeFileSync } = await import("node:fs");
    await locked(${JSON.stringify(dir)}, "one of many", async () => {
      writeFileSync(${JSON.stringify(join(dir, "mine"))}, "", { flag: "wx" }); // fails where two have it
      await new Promise((resolve) => setTimeout(resolve, 300));
      rmSync(${JSON.stringify(join(dir, "mine"))});
    }).then(() => console.log("had it"), (error) => console.log(error.message));`;
  const outputs = await Promise.all(
    Array.from({ length: 6 }, async () => {
      const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
        stdio: ["ignore", "pipe", "inherit"],
      });
      let said = "";
      child.stdout.on("data", (data: Buffer) => (said += data.toString()));
      await once(child, "close");
      return said.trim();
    }),
  );
  expect(outputs.filter((said) => said === "had it").length).toBeGreaterThan(0);
  for (const said of outputs) expect(said).toMatch(/^had it$|is in use by process \d+ on this machine/);
  expect(existsSync(join(dir, lockName))).toBe(false);
});
