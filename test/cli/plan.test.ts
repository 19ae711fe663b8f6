import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import type { Forecast } from "../../src/cost/forecast.ts";
import type { Rehearsal } from "../../src/cost/rehearse.ts";
import { paperRecipes } from "../../src/methods/paper.ts";
import { temporary, tiny } from "../train/tiny.ts";
import { layergraft, writeImages } from "./layergraft.ts";

const dir = temporary();
const file = join(dir, "tiny.json");
const images = join(dir, "images");
beforeAll(async () => {
  writeFileSync(file, JSON.stringify(tiny()));
  await writeImages(images, 24, "flat");
});
const run = async (...args: string[]) => {
  const { code, stdout, stderr } = await layergraft(args);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
};
const sentence = async (...args: string[]) => {
  const { code, stderr } = await layergraft(args);
  expect(code).toBe(1);
  expect(stderr).toMatch(/^layergraft: [^\n]+\n$/);
  return stderr;
};

describe("plan", () => {
  it("of a recipe file is measured here", async () => {
    const text = await run("plan", file, "--images", "80", "--processes", "4", "--micro-batch", "2");
    expect(text).toMatch(/^steps +2 × 10 = 20 +2 × 10 = 20$/m);
    expect(text).toMatch(/^its second step .* measured$/m);
    expect(text).toMatch(/^ +4 \* /m);
    expect(text).toMatch(/^ +16 +– +– +– +– +–/m); // 16 processes cannot share 8 images
  });

  it("as JSON has every number", async () => {
    const args = ["plan", file, "--images", "80", "--speed", "2", "--bandwidth", "8", "--latency", "10", "--json"];
    const { stages, network, totals, ...rest } = JSON.parse(await run(...args)) as Forecast;
    expect(rest).toMatchObject({ recipe: "tiny", images: 80, processes: 1, measured: [] });
    expect(network).toEqual({ bytesPerSecond: 1e9, latency: 1e-5 });
    const [mim] = stages;
    expect(mim!.step.total).toBeCloseTo((8 * mim!.work.operations.perImage) / 2e9, 9);
    expect(totals[0]!.stages[0]!.seconds).toBeCloseTo(20 * mim!.step.total, 6);
  });

  it("of the paper's runs is about ImageNet where nothing else is said", async () => {
    const text = await run("plan", "paper/mae-vit-base", "--speed", "100", "--processes", "64");
    expect(text).toContain("paper-mae-vit-base on 1,281,167 images");
    expect(text).toMatch(/^parameters of the encoder +85\.8 M/m);
  });

  it("of a method looks at the images", async () => {
    const text = await run("plan", "mim", "--data", images, "--speed", "10", "--epochs", "5");
    expect(text).toContain("24 images in");
    expect(text).toMatch(/^steps +5 × /m);
  });

  it("says what it lacks", async () => {
    expect(await sentence("plan", "cl")).toContain("give --data IMAGES");
    expect(await sentence("plan", file)).toContain("Give --data or --images");
    expect(await sentence("plan", file, "--images", "9", "--processes", "3")).toContain(
      "3 processes cannot share the batch of 8 of stage mim equally; 2 or 4 can",
    );
    expect(await sentence("plan", "paper/moco")).toContain("there is no recipe paper/moco; available: mim, cl");
    expect(await sentence("plan", file, "--data", images, "--images", "9")).toContain("leave out --images");
  });
});

describe("rehearse", () => {
  it("takes two real steps of every stage, the same every time", async () => {
    const once = async () => {
      const text = await run("rehearse", file, "--batch", "4", "--micro-batch", "2", "--json");
      return (JSON.parse(text) as { stages: Rehearsal[] }).stages;
    };
    const [first, second] = [await once(), await once()];
    expect(first.map(({ stage, losses }) => [stage, losses.length])).toEqual([
      ["mim", 2],
      ["cl", 2],
    ]);
    expect(first.map(({ batch, microBatch }) => [batch, microBatch])).toEqual([
      [4, 2],
      [4, 2],
    ]);
    expect(second.map(({ losses }) => losses)).toEqual(first.map(({ losses }) => losses));
  });

  it("of one stage says what it took", async () => {
    const text = await run("rehearse", file, "--stage", "cl", "--steps", "3");
    expect(text).toMatch(/^cl +8 +8 +\d+\.\d k +1 +\d+\.\d{4} /m);
    expect(text).toMatch(/^ +3 +\d+\.\d{4} /m);
    expect(await sentence("rehearse", file, "--stage", "x")).toContain("has no stage x; its stages are mim, cl");
  });
});

describe("pretrain", () => {
  const dry = (...more: string[]) => ["pretrain", images, "--dry-run", "--json", ...more];
  const stagesOf = async (...more: string[]) => {
    const { stages } = JSON.parse(await run(...dry(...more))) as { stages: { batch: number; microBatch: number }[] };
    return stages.map(({ batch, microBatch }) => [batch, microBatch]);
  };

  it("knows the paper's recipes, in any batch", async () => {
    const help = await run("pretrain", "--help");
    for (const name of Object.keys(paperRecipes)) expect(help).toContain(`\n  ${name} `);
    const name = "paper/graft-vit-base";
    expect(await stagesOf("--recipe", name, "--batch", "16")).toEqual([
      [16, 16],
      [16, 4],
    ]);
    expect(await stagesOf("--recipe", name, "--batch", "16", "--micro-batch", "8")).toEqual([
      [16, 8],
      [16, 8],
    ]);
    expect(await sentence(...dry("--recipe", name))).toContain("a batch of 4096 is larger than the data set of 24");
    expect(await sentence(...dry("--recipe", name, "--model", "vit-tiny/16"))).toContain(
      "paper/graft-vit-base says what --model would; change it with --set",
    );
    expect(await sentence(...dry("--recipe", name, "--parent", "mae.pth"))).toContain("there is no file mae.pth");
  });

  it("takes a recipe file or a method in another batch", async () => {
    expect(await stagesOf("--recipe", file, "--batch", "4")).toEqual([
      [4, 4],
      [4, 4],
    ]);
    const method = ["--recipe", "cl", "--batch", "8", "--epochs", "1"];
    expect(await stagesOf(...method, "--micro-batch", "2")).toEqual([[8, 2]]);
    expect(await sentence(...dry(...method, "--micro-batch", "3"))).toContain(
      "a micro-batch of 3 does not divide the batch of 8 of stage cl; 2 or 4 would",
    );
  });

  it("--dry-run points to what goes further", async () => {
    const text = await run("pretrain", images, "--dry-run", "--recipe", file);
    expect(text).toContain(`layergraft rehearse ${file} takes two real steps`);
  });
});
