import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import { readEvaluation } from "../../src/run/evaluation.ts";
import { readFinish } from "../../src/run/finish.ts";
import { readMetrics } from "../../src/run/metrics.ts";
import { readNotes } from "../../src/run/notes.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { layergraft, type Outcome, tiny, writeImages } from "./layergraft.ts";

it("pre-trains on a folder with classes and a broken image, evaluates and reports", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "shapes"), 40, "classes");
  writeFileSync(join(images, "disc", "broken.png"), "not a picture");
  const { code, stdout, stderr } = await layergraft(["pretrain", "shapes", ...tiny], { cwd: dir });
  expect([code, stderr]).toEqual([0, ""]);
  const run = join(dir, "runs", "shapes"); // where a run goes when nothing is said

  expect(stdout).toContain("41 images in shapes, 4 classes (used for evaluation only)");
  expect(stdout).toContain("model 16 px, patch 8, width 12, depth 3, heads 2");
  expect(stdout).toContain("in all about");
  expect(stdout.match(/skipped disc\/broken\.png/g)).toHaveLength(1);
  expect(stdout).toMatch(/mim .* 100% epoch 2\.0\/2 .*loss .*k-NN \d+\.\d %.*images\/s/);
  expect(stdout).toMatch(/accuracy, % +random encoder +raw pixels +after MIM +after grafting +chance/);
  expect(stdout).toContain("left out: cannot read image disc/broken.png");
  expect(stdout).toContain(`report: ${join(run, "report.html")}`);

  expect(listCheckpoints(run).filter(({ final }) => final)).toMatchObject([
    { stage: "mim", step: 10 },
    { stage: "cl", step: 10 },
  ]);
  expect(readMetrics(run).length).toBeGreaterThan(10);
  expect(readNotes(run).skipped.map(({ path }) => path)).toEqual(["disc/broken.png"]);
  expect(readEvaluation(run)!.rows.map(({ protocol }) => protocol)).toEqual(["knn", "linear", "few-shot", "few-shot"]);
  for (const file of ["recipe.json", "environment.json", "metrics.jsonl", "samples/neighbours.json"])
    expect(existsSync(join(run, file)), file).toBe(true);
  const report = readFileSync(join(run, "report.html"), "utf8");
  for (const text of ["after grafting", "disc/broken.png", "data:image/png;base64,"]) expect(report).toContain(text);

  const evaluated = await layergraft(["evaluate", run, "--data", images, "--protocol", "knn", "--json"]);
  expect(JSON.parse(evaluated.stdout)).toMatchObject({ rows: [{ protocol: "knn" }] });
});

it("pre-trains on a flat folder without classes, as JSON lines", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "images"), 16, "flat");
  const out = join(dir, "run");
  const { code, stdout, stderr } = await layergraft(["pretrain", images, ...tiny, "--out", out, "--json"]);
  expect([code, stderr]).toEqual([0, ""]);
  const events = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string });
  const kinds = new Set(events.map(({ kind }) => kind));
  for (const kind of ["estimate", "stage", "step", "checkpoint", "done"]) expect(kinds).toContain(kind);
  expect(readEvaluation(out)).toBeUndefined();
  expect(readFileSync(join(out, "report.html"), "utf8")).toContain("data:image/png;base64,");
  const { code: refused, stderr: why } = await layergraft(["evaluate", out]);
  expect(refused).toBe(1);
  expect(why).toMatch(/^layergraft: these images have no classes, so there is nothing to measure; [^\n]+\n$/);
});

it("stops on Ctrl-C, goes on, and gives its weights to a new run", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "images"), 16, "nested");
  const out = join(dir, "run");
  let sent = false;
  const stopped = await layergraft(
    ["pretrain", images, ...tiny, "--set", "stages.0.epochs=2000", "--out", out, "--json"],
    {
      onOutput: (text, child) => {
        if (sent || !text.includes('"kind":"step"')) return;
        sent = true;
        child.kill("SIGINT");
      },
    },
  );
  expect([stopped.code, stopped.stderr]).toEqual([130, ""]);
  expect(stopped.stdout).toContain('{"kind":"done","finished":false}');
  const [saved] = listCheckpoints(out);
  expect(saved).toMatchObject({ stage: "mim", final: false });
  expect(existsSync(join(out, "report.html"))).toBe(false);

  // The rest would take long: the saved recipe is made shorter, which only a test would do.
  const file = join(out, "recipe.json");
  const recipe = JSON.parse(readFileSync(file, "utf8")) as { stages: { epochs: number }[] };
  recipe.stages[0]!.epochs = (saved!.step + 4) / 2;
  writeFileSync(file, JSON.stringify(recipe));
  const resumed = await layergraft(["pretrain", "--resume", "--out", out]);
  expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
  expect(listCheckpoints(out).filter(({ final }) => final)).toMatchObject([
    { stage: "mim", step: saved!.step + 4 },
    { stage: "cl", step: 4 },
  ]);
  const steps = readMetrics(out).map(({ stage, step }) => `${stage} ${step}`);
  expect(new Set(steps).size).toBe(steps.length);
  expect(readdirSync(out)).toContain("report.html");

  const [, cl] = listCheckpoints(out).filter(({ final }) => final);
  const other = join(dir, "other");
  const started = await layergraft([
    "pretrain",
    images,
    ...tiny,
    "--out",
    other,
    "--init",
    cl!.path,
    "--set",
    "stages.0.learningRate=1e-12",
  ]);
  expect([started.code, started.stderr]).toEqual([0, ""]);
  const weights = (path: string, name: string) => [...(readCheckpoint(path).tensors.get(name)!.data as Float32Array)];
  const [mim] = listCheckpoints(other).filter(({ final }) => final);
  const name = "blocks.1.attn.qkv.weight";
  const before = weights(cl!.path, `base_encoder.${name}`);
  const after = weights(mim!.path, name);
  expect(Math.max(...after.map((x, i) => Math.abs(x - before[i]!)))).toBeLessThan(1e-6);
});

it("stops on Ctrl-C, and is finished early", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "images"), 16, "classes");
  const out = join(dir, "run");
  let sent = false;
  const long = [...tiny, "--schedule", "constant", "--set", "stages.0.epochs=2000", "--out", out];
  const stopped = await layergraft(["pretrain", images, ...long], {
    onOutput: (text, child) => {
      if (sent || !text.includes("loss")) return;
      sent = true;
      child.kill("SIGINT");
    },
  });
  expect([stopped.code, stopped.stderr]).toEqual([130, ""]);
  expect(stopped.stdout.trim().split("\n").at(-1)).toBe(
    `saved; go on with: layergraft pretrain --resume --out ${out}; ` +
      `or finish early: layergraft pretrain --resume --finish --out ${out}`,
  );

  const finished = await layergraft(["pretrain", "--resume", "--finish", "--out", out]);
  expect([finished.code, finished.stderr]).toEqual([0, ""]);
  const { from, to } = readFinish(out)!;
  const where = `at step ${to} of 4000 of stage mim, annealed from step ${from}; stage cl is left out`;
  expect(finished.stdout).toContain(`this run finishes early, ${where}\n`);
  expect(finished.stdout).toMatch(/accuracy, % +random encoder +raw pixels +after MIM +chance/);
  expect(listCheckpoints(out).filter(({ final }) => final)).toMatchObject([{ stage: "mim", step: to }]);
  expect(readFileSync(join(out, "report.html"), "utf8")).toContain(where);

  const again = await layergraft(["pretrain", "--resume", "--finish", "--out", out]);
  expect(again.code).toBe(1);
  expect(again.stderr).toMatch(/^layergraft: the run in [^\n]+ has finished: [^\n]+\n$/);
});

it("has its folder for itself, stops on SIGUSR1, and goes on where its images lie then", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "images"), 16, "flat");
  const out = join(dir, "run");
  let others: Promise<Outcome[]> | undefined;
  const stopped = await layergraft(
    ["pretrain", images, ...tiny, "--set", "stages.0.epochs=20000", "--out", out, "--json"],
    {
      onOutput: (text, child) => {
        if (others !== undefined || !text.includes('"kind":"step"')) return;
        others = Promise.all(
          [
            ["pretrain", "--resume", "--out", out],
            ["evaluate", out],
            ["conflict", out],
          ].map((args) => layergraft(args)),
        );
        void others.then(() => child.kill("SIGUSR1"));
      },
    },
  );
  expect([stopped.code, stopped.stderr]).toEqual([130, ""]);
  for (const { code, stderr } of await others!)
    expect([code, stderr]).toEqual([1, expect.stringContaining(`${out} is in use by process `)]);
  const steps = readMetrics(out).map(({ step }) => step);
  expect(steps.every((step, i) => i === 0 || step > steps[i - 1]!)).toBe(true);
  expect(existsSync(join(out, "lock.json"))).toBe(false);

  const moved = join(dir, "moved");
  renameSync(images, moved);
  const lost = await layergraft(["pretrain", "--resume", "--out", out]);
  expect(lost.code).toBe(1);
  expect(lost.stderr).toContain(`say where: layergraft pretrain --resume --out ${out} --data IMAGES`);
  const [saved] = listCheckpoints(out).filter(({ step }) => step > 0);
  const file = join(out, "recipe.json");
  const recipe = JSON.parse(readFileSync(file, "utf8")) as { stages: { epochs: number }[] };
  recipe.stages[0]!.epochs = (saved!.step + 2) / 2;
  writeFileSync(file, JSON.stringify(recipe));
  const twice = await layergraft(["pretrain", moved, "--data", moved, "--resume", "--out", out]);
  expect(twice.stderr).toContain("are said twice");
  const resumed = await layergraft(["pretrain", moved, "--resume", "--out", out]);
  expect([resumed.code, resumed.stderr]).toEqual([0, ""]);
  expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ data: { path: moved } });
});

it("does not lie among its images unless it is told to", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "photos"), 16, "nested");
  const dry = async (cwd: string, ...args: string[]) => {
    const { code, stdout } = await layergraft(["pretrain", ...args, "--dry-run"], { cwd });
    expect(code).toBe(0);
    return stdout;
  };
  const beside = `run folder: ${join(dir, "runs", "photos")}, since ${join("runs", "photos")} would lie among the images`;
  expect(await dry(images, ".")).toContain(beside);
  expect(await dry(join(images, "2024"), "..")).toContain(beside);
  expect(await dry(images, ".", "--out", "runs/here")).not.toContain("run folder");
  expect(await dry(dir, "photos")).not.toContain("run folder");
});

it("times a few steps when it is told how long to train", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "photos"), 24, "nested");
  const epochsIn = async (hours: string) => {
    const { code, stdout } = await layergraft(["pretrain", images, "--hours", hours, "--dry-run"]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^\d+(\.\d+)? billion operations a second, as measured in a few steps$/m);
    return Number(/mim +([\d.]+) epochs/.exec(stdout)![1]);
  };
  expect(await epochsIn("0.0001")).toBeLessThan(await epochsIn("0.02"));
});
