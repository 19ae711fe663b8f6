import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";
import type { Environment } from "../../src/run/environment.ts";
import { createRun } from "../../src/run/folder.ts";

/** An empty folder that goes when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "layergraft-test-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** A fresh run in a folder that goes when the test ends. */
export function temporaryRun(): string {
  const dir = join(temporaryFolder(), "run");
  createRun(dir, { recipe: { name: "tiny" }, environment });
  return dir;
}

export const environment: Environment = {
  layergraft: "0.1.0",
  node: "20.19.0",
  onnxruntime: "1.30.0",
  platform: "linux x64",
  cpu: "Some CPU",
  cores: 2,
  memory: 8 * 2 ** 30,
  seed: 7,
  started: "2025-01-02T03:04:05.000Z",
};
