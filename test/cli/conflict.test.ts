import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { tiny, tinyStages, trainHere } from "../train/tiny.ts";
import { layergraft } from "./layergraft.ts";

it("measures a run of one loss, says what it did and shows it", async () => {
  const run = await trainHere({ ...tiny(), stages: [tinyStages().mim] });
  const options = ["--batches", "3", "--warm-up", "2", "--threads", "1"];
  const { code, stdout, stderr } = await layergraft(["conflict", run, ...options]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toContain("encoder of stage mim at step 12, 3 batches of 8");
  expect(stdout).toContain("the other parts of mocov3 started anew and were fitted to the encoder for 2 steps");
  expect(stdout).toMatch(/cosine +mean +5 % +95 % +negative +of mean gradients +attention +mlp +norm\n─+\n/);
  for (const block of [0, 1]) expect(stdout).toMatch(new RegExp(`\nblock ${block}( +-?\\d\\.\\d{3}){3} +\\d+ %`));
  expect(stdout).toContain("No clear trend of the conflict with depth");
  expect(readFileSync(join(run, "conflict.csv"), "utf8").trim().split("\n")).toHaveLength(1 + 3 * 2 * 4);
  expect(readFileSync(join(run, "report.html"), "utf8")).toContain(`<section id="conflict">`);

  const again = await layergraft(["conflict", run, ...options, "--json"]);
  expect(JSON.parse(again.stdout)).toEqual(JSON.parse(readFileSync(join(run, "conflict.json"), "utf8")));
});
