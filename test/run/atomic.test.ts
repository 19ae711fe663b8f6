import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { removeLeftovers, writeFileAtomic } from "../../src/run/atomic.ts";
import { temporaryFolder } from "./temporary.ts";

test("writes text, bytes and pieces, and leaves nothing else behind", () => {
  const folder = temporaryFolder();
  writeFileAtomic(join(folder, "text"), "äb");
  writeFileAtomic(join(folder, "bytes"), Uint8Array.of(1, 2));
  writeFileAtomic(join(folder, "pieces"), [Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)]);
  writeFileAtomic(join(folder, "text"), "c");
  expect(readdirSync(folder).sort()).toEqual(["bytes", "pieces", "text"]);
  expect(readFileSync(join(folder, "text"), "utf8")).toBe("c");
  expect([...readFileSync(join(folder, "pieces"))]).toEqual([1, 2, 3]);
});

test("a failed write keeps the old file and removes the temporary one", () => {
  const folder = temporaryFolder();
  const path = join(folder, "file");
  writeFileAtomic(path, "old");
  expect(() => writeFileAtomic(path, broken())).toThrow(`${path} could not be written (no more data)`);
  expect(readdirSync(folder)).toEqual(["file"]);
  expect(readFileSync(path, "utf8")).toBe("old");
});

function* broken(): Generator<Uint8Array> {
  yield Uint8Array.of(1);
  throw new Error("no more data");
}

test("a target that is a folder is refused and stays", () => {
  const path = join(temporaryFolder(), "folder");
  mkdirSync(path);
  expect(() => writeFileAtomic(path, "x")).toThrow(path);
  expect(existsSync(path)).toBe(true);
});

test("leftovers of dead processes go, files of living ones stay", () => {
  const folder = temporaryFolder();
  const dead = spawnSync(process.execPath, ["-e", ""]).pid;
  const gone = [`.a.json.${dead}.tmp`, `.b.json.${process.pid}.tmp`];
  const kept = [`.a.json.${process.ppid}.tmp`, "b.1.tmp"];
  for (const name of [...gone, ...kept]) writeFileSync(join(folder, name), "");
  expect(new Set(removeLeftovers(folder))).toEqual(new Set(gone));
  expect(new Set(readdirSync(folder))).toEqual(new Set(kept));
});
