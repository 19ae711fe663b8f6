/** The examples run. They import the package by its name, as a user's code does. */
import { join } from "node:path";
import { expect, it, vi } from "vitest";
import { compare } from "../examples/custom-recipe.ts";
import { quickstart } from "../examples/quickstart.ts";
import { temporaryFolder } from "./run/temporary.ts";

it("quickstart", async () => {
  const log = vi.spyOn(console, "log").mockImplementation(() => undefined);
  const { count, width } = await quickstart(
    { kind: "synthetic", length: 32, size: 32 },
    join(temporaryFolder(), "run"),
    1,
  );
  expect([count, width]).toEqual([32, 96]);
  const lines = log.mock.calls.map(([line]) => String(line));
  for (const text of ["mim step 1: loss", "cl step 1: loss", "after grafting: k-NN", "disc 0 is most like", "report: "])
    expect(
      lines.some((line) => line.startsWith(text)),
      text,
    ).toBe(true);
});

it("custom recipe", async () => {
  vi.spyOn(console, "log").mockImplementation(() => undefined);
  const scores = await compare({ kind: "synthetic", length: 64, size: 32 }, temporaryFolder(), 1);
  expect(Object.keys(scores)).toEqual(["frozen", "grafted"]);
});
