import { readdirSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { isRunFolder } from "../../src/data/run-marker.ts";
import { describeEnvironment } from "../../src/run/environment.ts";
import { createRun } from "../../src/run/folder.ts";
import { temporaryFolder } from "../run/temporary.ts";

it("tells the folder of a run from any other", () => {
  const dir = join(temporaryFolder(), "run");
  createRun(dir, { recipe: {}, environment: describeEnvironment({ seed: 0, onnxruntime: "1" }) });
  expect(isRunFolder(readdirSync(dir))).toBe(true);
  expect(isRunFolder(["recipe.json", "cake.jpg"])).toBe(false);
  expect(isRunFolder([])).toBe(false);
});
