/** The example of an objective of one's own: what it does as a step, and through the command line as a user would use it. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeAll, describe, expect, it } from "vitest";
import kind from "../examples/custom-objective.ts";
import { mocoViews } from "../src/data/augmentation/views.ts";
import { createObjective, objectiveSchema } from "../src/objectives/kinds.ts";
import { listCheckpoints, readCheckpoint } from "../src/run/checkpoint.ts";
import { readEvaluation } from "../src/run/evaluation.ts";
import { layergraft, writeImages } from "./cli/layergraft.ts";
import { expectAllclose } from "./helpers.ts";
import { maeBatch, maeOptions, mocoBatch, model, snapshot, tinyStep } from "./objectives/tiny.ts";
import { temporary } from "./train/tiny.ts";

const example = fileURLToPath(new URL("../examples/custom-objective.js", import.meta.url));
const [outputs, batch] = [32, mocoBatch(16)];
type Options = Parameters<typeof kind.create>[1];
const dino = (options: Partial<Options> = {}) =>
  kind.create(model, { ...kind.schema.parse({ kind: "dino", outputs, hidden: 32, bottleneck: 16 }), ...options });
const at = (number: number, steps: number) => ({ number, rate: 2e-3, progress: (number - 1) / steps });

describe("DINO", () => {
  const train = async (steps: number, options = {}, changes: Partial<Options> = {}) => {
    const step = await tinyStep(dino(changes), 16, options);
    await step.resetCopies();
    const history: Map<string, Float32Array>[] = [await snapshot(step)];
    const results: { loss: number; entropy: number }[] = [];
    for (let number = 1; number <= steps; number++) {
      const { loss, metrics } = await step.run(batch, at(number, steps));
      results.push({ loss, entropy: metrics["teacherEntropy"]! });
      history.push(await snapshot(step));
    }
    await step.release();
    return { results, history };
  };

  it("learns to say what the teacher says", async () => {
    const { results } = await train(40);
    // the cross entropy is what the teacher leaves open, and how far the student is from it
    const distances = results.map(({ loss, entropy }) => loss - entropy);
    expect(distances.every((each) => each > 0)).toBe(true);
    expect(distances.at(-1)!).toBeLessThan(0.5 * Math.max(...distances.slice(0, 10)));
  });

  it("has a teacher that follows, and learns nothing itself", async () => {
    const { history } = await train(2);
    const [start, first, second] = history as [
      Map<string, Float32Array>,
      Map<string, Float32Array>,
      Map<string, Float32Array>,
    ];
    const names = [...start.keys()].filter((name) => name.startsWith("teacher."));
    expect(names).toContain("teacher.head.last_layer.weight");
    const momentum = dino().copies![0]!.momentum!(0.5);
    expect(momentum).toBeCloseTo(0.998, 9);
    for (const name of names) {
      const student = name.replace("teacher.", "student.");
      expect(start.get(name), name).toEqual(start.get(student));
      expectAllclose(first.get(name)!, start.get(name)!, { absolute: 1e-7 }, name); // of two that are equal
      const expected = first.get(name)!.map((value, i) => momentum * value + (1 - momentum) * first.get(student)![i]!);
      expectAllclose(second.get(name)!, expected, { absolute: 1e-7 }, name);
    }
  });

  it("centres its outputs, and sharpens them less and less", async () => {
    const [uncentred, once] = (await train(1)).history.map((each) => each.get("center")!);
    expect(uncentred).toEqual(new Float32Array(outputs));
    expect(once!.some((value) => value !== 0)).toBe(true);
    const { teacherTemperature } = dino().schedules!;
    expect([0, 0.15, 0.3, 1].map((progress) => Number(teacherTemperature!(progress).toFixed(6)))).toEqual([
      0.04, 0.055, 0.07, 0.07,
    ]);
    const step = await tinyStep(dino(), 16);
    await step.resetCopies();
    const entropies = [];
    for (const progress of [0, 0.3])
      entropies.push((await step.run(batch, { number: 1, rate: 0, progress })).metrics["teacherEntropy"]!);
    await step.release();
    expect(entropies[1]!).toBeGreaterThan(entropies[0]!);
  });

  it("is at its limits what it must be", async () => {
    const undecided = { studentTemperature: 1e6 };
    expect((await train(1, {}, undecided)).results[0]!.loss).toBeCloseTo(Math.log(outputs), 4);
    const blunt = { firstTemperature: 1e6, teacherTemperature: 1e6 };
    expect((await train(1, {}, blunt)).results[0]!.entropy).toBeCloseTo(Math.log(outputs), 4);
  });

  it("comes to the same in micro-batches", async () => {
    const [whole, parts] = [await train(3), await train(3, { microBatch: 4 })];
    for (const [name, value] of whole.history.at(-1)!)
      if (!name.startsWith("optimizer."))
        expectAllclose(parts.history.at(-1)!.get(name)!, value, { absolute: 1e-5 }, name);
  });
});

it("trains an encoder together with masked image modelling", async () => {
  const options = { outputs, hidden: 32, bottleneck: 16 };
  const cl = { kind: "module", path: example, options };
  const spec = { kind: "joint", mim: { kind: "mae", ...maeOptions }, cl };
  const step = await tinyStep(createObjective(model, objectiveSchema.parse(spec)), 16, { microBatch: 8 });
  await step.resetCopies();
  const both = { ...batch, ...maeBatch(16) };
  const losses = [];
  for (let number = 1; number <= 10; number++) losses.push((await step.run(both, at(number, 10))).metrics["mim"]!);
  await step.release();
  expect(losses.at(-1)!).toBeLessThan(0.98 * losses[0]!);
});

describe("on the command line", () => {
  const dir = temporary();
  const [images, out, file] = [join(dir, "images"), join(dir, "run"), join(dir, "recipes.json")];
  const shipped = fileURLToPath(new URL("../../examples/custom-objective.json", import.meta.url));
  const recipe = JSON.parse(readFileSync(shipped, "utf8")) as { stages: [Record<string, unknown>] };
  const small = {
    ...recipe,
    threads: 1,
    checkpointSteps: 3,
    model: { imageSize: 16, patchSize: 8, width: 12, depth: 2, heads: 2 },
    evaluationView: { kind: "center", size: 16, resize: 16 },
    stages: [
      {
        ...recipe.stages[0],
        objective: {
          kind: "module",
          path: relative(dir, example),
          options: { outputs: 16, hidden: 16, bottleneck: 8 },
        },
        views: mocoViews(16),
        epochs: 2,
        batch: 8,
        microBatch: 8,
        warmup: 0.5,
        monitors: [],
      },
    ],
  };
  const run = async (cwd: string, ...args: string[]) => {
    const { code, stdout, stderr } = await layergraft(args, { cwd });
    expect([code, stderr]).toEqual([0, ""]);
    return stdout;
  };
  const weights = () => readCheckpoint(listCheckpoints(out).at(-1)!.path);

  beforeAll(async () => {
    await writeImages(images, 20, "classes");
    writeFileSync(file, JSON.stringify(small));
    await run(
      images,
      "pretrain",
      images,
      "--recipe",
      file,
      "--out",
      out,
      "--set",
      "stages.0.objective.options.warmUp=0.5",
    );
  });

  it("trains, with the file beside the recipe whatever folder it runs in", () => {
    const { stages } = JSON.parse(readFileSync(join(out, "recipe.json"), "utf8")) as typeof small;
    expect(stages[0]!.objective).toMatchObject({
      path: example,
      options: { outputs: 16, warmUp: 0.5, momentum: 0.996 },
    });
    const { tensors, metadata } = weights();
    expect(metadata["encoder"]).toBe("student.");
    expect(tensors.get("center")!.shape).toEqual([16]);
  });

  it("evaluates from another folder", async () => {
    rmSync(join(out, "evaluation.json"), { force: true });
    const text = await run(dir, "evaluate", "run", "--data", "images", "--protocol", "knn");
    expect(text).toMatch(/random encoder.*after DINO/);
    expect(readEvaluation(out)!.columns.map(({ name }) => name)).toContain("dino");
  });

  it("goes on from another folder to the very same weights", async () => {
    const { tensors } = weights();
    rmSync(listCheckpoints(out).at(-1)!.path);
    expect(weights().metadata["final"]).not.toBe("true");
    await run(dir, "pretrain", "--resume", "--out", "run");
    expect(weights().tensors).toEqual(tensors);
  });

  it("plans, as it does any objective", async () => {
    const text = await run(dir, "plan", file, "--images", "80", "--speed", "10");
    expect(text).toMatch(/^parameters of the encoder +\S+/m);
  });

  it("says which file is missing", async () => {
    const elsewhere = join(dir, "elsewhere.json");
    writeFileSync(elsewhere, JSON.stringify(small).replace("custom-objective.js", "gone.js"));
    const { code, stderr } = await layergraft(["pretrain", images, "--recipe", elsewhere, "--out", join(dir, "none")]);
    expect(code).toBe(1);
    expect(stderr).toMatch(
      /^layergraft: this recipe cannot be run: stages\.0\.objective: there is no file \S+gone\.js\n$/,
    );
  });
});
