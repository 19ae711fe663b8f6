import { existsSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { describeEnvironment } from "../../src/run/environment.ts";
import { createRun, openRun } from "../../src/run/folder.ts";
import { locked } from "../../src/run/lock.ts";
import { environment, temporaryFolder, temporaryRun } from "./temporary.ts";

const contents = { recipe: { name: "tiny", stages: [1] }, environment };

test("a created run opens with the same recipe and environment", () => {
  const dir = join(temporaryFolder(), "runs", "x");
  createRun(dir, contents);
  expect(openRun(dir)).toEqual({ dir, ...contents });
  expect(readdirSync(dir).sort()).toEqual(["checkpoints", "environment.json", "recipe.json", "samples"]);
});

test("an existing empty folder is used", () => {
  const dir = temporaryFolder();
  expect(createRun(dir, contents).dir).toBe(dir);
});

test("a folder that holds a run, or anything else, is refused", () => {
  const dir = temporaryRun();
  expect(() => createRun(dir, contents)).toThrow(
    `${dir} already holds a run; resume it with --resume, or choose another --out`,
  );
  const other = temporaryFolder();
  writeFileSync(join(other, "thesis.tex"), "");
  expect(() => createRun(other, contents)).toThrow(`${other} is not empty (it holds thesis.tex)`);
  expect(readdirSync(other)).toEqual(["thesis.tex"]);
});

test("what is no run is said to be none", () => {
  const folder = temporaryFolder();
  expect(() => openRun(join(folder, "x"))).toThrow("holds no run (there is no such folder)");
  expect(() => openRun(folder)).toThrow("holds no run (it has no recipe.json)");
});

test("damaged files are named", () => {
  const dir = temporaryRun();
  writeFileSync(join(dir, "environment.json"), `{"seed": "seven"}`);
  expect(() => openRun(dir)).toThrow(`${join(dir, "environment.json")} is not as expected at `);
  writeFileSync(join(dir, "recipe.json"), "{");
  expect(() => openRun(dir)).toThrow(`${join(dir, "recipe.json")} is not JSON`);
});

test("opening restores missing folders, and whoever may write there clears leftovers", async () => {
  const dir = temporaryRun();
  const leftover = join(dir, "checkpoints", `.1-mim-00000480.safetensors.${process.pid}.tmp`);
  writeFileSync(leftover, "");
  rmSync(join(dir, "samples"), { recursive: true });
  openRun(dir);
  expect(existsSync(leftover)).toBe(true);
  expect(existsSync(join(dir, "samples"))).toBe(true);
  await locked(dir, "layergraft", async () => undefined);
  expect(existsSync(leftover)).toBe(false);
});

test("the environment names this machine", () => {
  const described = describeEnvironment({ seed: 3, onnxruntime: "1.2.3", command: "layergraft demo" });
  expect(described).toMatchObject({ seed: 3, onnxruntime: "1.2.3", node: process.versions.node });
  expect(described.command).toBe("layergraft demo");
  expect(described.layergraft).toMatch(/^\d+\.\d+\.\d+/);
  expect(described.cores).toBeGreaterThan(0);
});
