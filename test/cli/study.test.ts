import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { temporaryFolder } from "../run/temporary.ts";
import { layergraft, writeImages } from "./layergraft.ts";

it("a quick study of a folder prints a table, leaves files, and is not mixed with another one", async () => {
  const images = await writeImages(temporaryFolder(), 80, "classes");
  const out = join(temporaryFolder(), "study");
  const quick = ["study", images, "--quick", "--methods", "mim", "--jobs", "2", "--out", out];
  const { code, stdout, stderr } = await layergraft(quick);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/mim-x1-s0 +done in \d+s/);
  expect(stdout).toMatch(/accuracy, % +budget +k-NN +linear probe +1 label per class/);
  expect(stdout).toMatch(/\nraw pixels .*\nMIM +100 % /);
  expect(stdout).toMatch(/report: .*report\.html\n$/);
  for (const name of ["table.md", "table.csv", "few-labels.svg", "methods.svg", "results.json", "report.html"])
    expect(readdirSync(out)).toContain(name);

  const other = await layergraft([...quick, "--limit", "70"]);
  expect(other.code).toBe(1);
  expect(other.stderr).toMatch(/^layergraft: [^\n]+holds another study \(limit is 128 there, 70 now\)[^\n]+\n$/);

  const more = await layergraft([...quick, "--fine-tune", "--again"]);
  expect([more.code, more.stderr]).toEqual([0, ""]);
  expect(more.stdout).toMatch(/mim-x1-s0 +fine-tuned in \d+s/);
  expect(more.stdout).toMatch(/accuracy, % .* 10 % of labels +fine-tuning\n/);
  const { command } = JSON.parse(readFileSync(join(out, "environment.json"), "utf8")) as { command: string };
  expect(command).toMatch(/ --out \S+ --fine-tune$/);

  const json = await layergraft([...quick, "--json"]);
  const lines = json.stdout.trim().split("\n");
  expect(lines.map((line) => (JSON.parse(line) as { kind: string }).kind)).toEqual(["study", "results"]);
});

it("images without classes are refused in one sentence", async () => {
  const images = await writeImages(temporaryFolder(), 10, "flat");
  const { code, stderr } = await layergraft(["study", images, "--quick", "--out", join(temporaryFolder(), "study")]);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^layergraft: these images have no classes[^\n]+\n$/);
});
