import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createFileAtomic, removeLeftovers, writeFileAtomic } from "../../src/run/atomic.ts";
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

test("leftovers of one file can be removed alone", () => {
  const folder = temporaryFolder();
  const dead = spawnSync(process.execPath, ["-e", ""]).pid;
  for (const name of ["a.npy", "b.npy"]) writeFileSync(join(folder, `.${name}.${dead}.tmp`), "");
  expect(removeLeftovers(folder, "a.npy")).toEqual([`.a.npy.${dead}.tmp`]);
});

test("a growing file has its name when it is whole, and a discarded one leaves the old", () => {
  const folder = temporaryFolder();
  const path = join(folder, "file");
  writeFileAtomic(path, "old");
  const discarded = createFileAtomic(path);
  discarded.write("lost");
  discarded.discard();
  expect(readdirSync(folder)).toEqual(["file"]);
  const file = createFileAtomic(path);
  file.write("0 of");
  file.write(" 3");
  expect(readFileSync(path, "utf8")).toBe("old");
  file.overwrite(new TextEncoder().encode("3"), 0);
  file.write("!");
  file.commit();
  file.discard();
  expect(readdirSync(folder)).toEqual(["file"]);
  expect(readFileSync(path, "utf8")).toBe("3 of 3!");
});
