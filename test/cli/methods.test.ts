import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { listCheckpoints } from "../../src/run/checkpoint.ts";
import { type Method, methods } from "../../src/methods/methods.ts";
import { temporary } from "../train/tiny.ts";
import { layergraft, writeImages } from "./layergraft.ts";

const small = "--image-size 16 --patch-size 8 --epochs 1 --batch 8 --threads 1".split(" ");
for (const setting of ["width=12", "heads=2", "depth=3"]) small.push("--set", `model.${setting}`);
const dir = temporary();
const images = join(dir, "images");
beforeAll(() => writeImages(images, 16, "flat"));

const stagesOf = (run: string) => listCheckpoints(run).flatMap(({ final, stage }) => (final ? [stage] : []));

it.each([
  ["mim", ["mim"], ["--mask-ratio", "0.5", "--no-norm-pix"]],
  ["cl", ["cl"], ["--temperature", "0.1", "--momentum", "0.9", "--patch-drop", "0.5"]],
  ["mtl", ["mtl"], ["--cl", "vicreg"]],
  ["mim-to-cl", ["mim", "cl"], ["--fix-to", "1", "--fresh-end"]],
  ["cl-to-mim", ["cl", "mim"], ["--cl", "simclr", "--mim", "simmim"]],
  ["auto-grafted", ["mim", "cl"], ["--set", "stages.1.plan.warmUpSteps=2", "--set", "stages.1.plan.jointSteps=2"]],
  ["layer-grafted", ["mim", "cl"], ["--layer-decay", "0.5", "--l1-anchor", "1e-5,1", "--contrastive-mae", "0.5"]],
] as const satisfies [Method, string[], string[]][])("%s trains on a folder: %j", async (name, stages, options) => {
  const out = join(dir, name);
  const { code, stderr } = await layergraft(["pretrain", images, "--recipe", name, ...small, ...options, "--out", out]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stagesOf(out)).toEqual(stages);
});

it("builds a second stage on the first one of another run, and upper blocks on a third", async () => {
  const [mim, cl] = ["mim", "cl"].map((name) => listCheckpoints(join(dir, name)).at(-1)!.path);
  const out = join(dir, "merged");
  const graft = ["--recipe", "mim-to-cl", "--parent", mim!, "--end-from", cl!, "--fix-to", "2"];
  const { code, stderr } = await layergraft(["pretrain", images, ...graft, ...small, "--out", out]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stagesOf(out)).toEqual(["cl"]);
});

it("--help of pretrain names every method", async () => {
  const { stdout } = await layergraft(["pretrain", "--help"]);
  for (const name of Object.keys(methods)) expect(stdout).toMatch(new RegExp(`^ {2}${name} `, "m"));
});

it("graft-plan proposes a rate per block on a MIM run, and the line that uses them", async () => {
  const run = join(dir, "planned");
  const options = ["--recipe", "mim", ...small, "--out", run];
  expect((await layergraft(["pretrain", images, ...options])).code).toBe(0);
  const steps = ["--warm-up", "2", "--joint-steps", "2", "--batches", "3"];
  const { code, stdout, stderr } = await layergraft(["graft-plan", run, ...steps]);
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/block +mean cosine +deviation +negative +moved +learning rate/);
  const [, parent, rates] = /--recipe layer-grafted --parent (\S+) --rates ([\d.,]+)/.exec(stdout)!;
  expect(rates!.split(",")).toHaveLength(3);
  const graft = ["--parent", parent!, "--rates", rates!, "--out", join(dir, "by plan")];
  expect((await layergraft(["pretrain", images, ...small, ...graft])).stderr).toBe("");
  const none = await layergraft(["graft-plan", join(dir, "cl"), ...steps]);
  expect(none.stderr).toMatch(/^layergraft: the run in \S+ has no finished stage of masked image modelling [^\n]+\n$/);
});
