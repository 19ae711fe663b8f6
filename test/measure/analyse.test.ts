import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { decode } from "../../src/data/formats/decode.ts";
import { encodePng } from "../../src/data/formats/png.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { readAnalysis } from "../../src/run/analysis.ts";
import { listCheckpoints } from "../../src/run/checkpoint.ts";
import { readEvaluation } from "../../src/run/evaluation.ts";
import { readLayers } from "../../src/run/layers.ts";
import { analyse } from "../../src/measure/analyse.ts";
import { baselines, candidatesOf } from "../../src/measure/candidates.ts";
import { evaluate } from "../../src/measure/evaluate.ts";
import { evaluateLayers, measureLayers } from "../../src/measure/layers.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { temporary, tiny, trainHere } from "../train/tiny.ts";

const data = { kind: "synthetic", length: 96, size: 16 } as const;
let run: string;
let checkpoint: string;
beforeAll(async () => {
  run = await trainHere(tiny());
  checkpoint = listCheckpoints(run).findLast(({ final }) => final)!.path;
});

/** A folder of `count` images without classes, and a broken one. */
async function folderOf(count: number): Promise<string> {
  const folder = temporary();
  writeFileSync(join(folder, "a-broken.png"), "no picture");
  if (count === 0) return folder;
  const drawings = await openSource({ ...data, length: count });
  for (let i = 0; i < count; i++) writeFileSync(join(folder, `${i}.png`), await encodePng(await drawings.load(i)));
  return folder;
}

/** Name → content. */
const filesOf = (dir: string) => {
  const names = ["analysis.json", "layers.json", ...readdirSync(join(dir, "samples")).map((name) => `samples/${name}`)];
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(dir, name)).toString("base64")]));
};

describe("the analysis of a run", () => {
  it("covers every encoder that has an inside, and is the same a second time", async () => {
    const analysis = await analyse(run, { data });
    const layers = await evaluateLayers(run, { data });
    expect(readAnalysis(run)).toEqual(analysis);
    expect(readLayers(run)).toEqual(layers);
    const names = ["random", "mim", "cl"];
    expect(analysis.encoders.map(({ name }) => name)).toEqual(names);
    for (const { statistics, distances } of analysis.encoders) {
      expect(statistics.map(({ depth }) => depth)).toEqual([0, 1, 2]);
      expect(distances.map(({ block }) => block)).toEqual([0, 1]);
      for (const { mean, heads } of distances) {
        expect(heads).toEqual(heads.toSorted((a, b) => a - b));
        expect(mean).toBeCloseTo((heads[0]! + heads[1]!) / 2, 3);
      }
    }
    expect(analysis.similarities!.map(({ first, second }) => [first, second])).toEqual([
      ["random", "random"],
      ["random", "mim"],
      ["random", "cl"],
      ["mim", "mim"],
      ["mim", "cl"],
      ["cl", "cl"],
    ]);
    for (const { first, second, values } of analysis.similarities!)
      if (first === second) expect(values.map((row, i) => row[i])).toEqual([1, 1, 1]);
    const shown = analysis.map!.images.length;
    expect(shown).toBeGreaterThanOrEqual(16);
    for (const { points } of analysis.map!.encoders) expect(points).toHaveLength(shown);
    for (const { group } of analysis.map!.images) expect(analysis.map!.groups[group]).toBeDefined();
    expect(analysis.attention).toHaveLength(8);
    for (const { image, maps } of analysis.attention!) {
      expect(Object.keys(maps)).toEqual(names);
      for (const name of [image, ...Object.values(maps)])
        expect(await decode(join(run, "samples", name))).toMatchObject({ width: 16, height: 16 });
    }
    for (const { image } of analysis.map!.images) expect(existsSync(join(run, "samples", image))).toBe(true);
    expect(analysis.notes).toBeUndefined();

    const before = filesOf(run);
    await analyse(run, { data });
    await evaluateLayers(run, { data });
    expect(filesOf(run)).toEqual(before);
  });

  it("has at the last depth the accuracy that an evaluation finds", async () => {
    await evaluate(run, { data, protocols: ["knn", "linear"] });
    const [byKnn, byLinear] = readEvaluation(run)!.rows;
    const recipe = defineRecipe(tiny());
    const candidates = candidatesOf(run, recipe, ["mim", "cl"]);
    for (const [protocol, row] of [
      ["knn", byKnn],
      ["linear", byLinear],
    ] as const) {
      const { encoders, label, chance } = await measureLayers(candidates, data, { protocol, threads: 1 });
      expect([label, chance]).toEqual([row!.label, row!.chance]);
      for (const { name, scores } of encoders)
        expect(scores[2]).toEqual({ depth: 2, value: row!.values[name], validation: row!.validation![name] });
    }
  });

  it("puts other runs and checkpoints beside it", async () => {
    const out = temporary();
    const options = { data, encoders: ["last"], against: [run, checkpoint], out };
    const analysis = await analyse(run, { ...options, images: 10 });
    const layers = await evaluateLayers(run, options);
    expect(analysis.encoders.map(({ name, title }) => [name, title])).toEqual([
      ["cl", "after grafting"],
      ["against-1", "run"],
      ["against-2", basename(checkpoint, ".safetensors")],
    ]);
    const [own, ...others] = analysis.encoders;
    for (const { statistics, distances } of others)
      expect({ statistics, distances }).toEqual({ statistics: own!.statistics, distances: own!.distances });
    expect(new Set(layers.encoders.map(({ scores }) => JSON.stringify(scores))).size).toBe(1);
    expect(analysis.map).toBeUndefined();
    expect(analysis.notes).toEqual(["There is no map of the features: it takes 16 images, and there are 10."]);
    expect(readAnalysis(out)).toEqual(analysis);
  });

  it("of one checkpoint goes to a folder of its own, without classes and without broken images", async () => {
    const path = await folderOf(20);
    const out = temporary();
    const analysis = await analyse(checkpoint, { data: { kind: "folder", path }, out, threads: 1 });
    expect(analysis.encoders.map(({ name }) => name)).toEqual(["random", "checkpoint"]);
    expect(readAnalysis(out)).toEqual(analysis);
    expect(analysis.map!.images.map(({ group }) => group)).toEqual(Array.from({ length: 20 }, () => -1));
    expect(analysis.notes).toEqual([
      expect.stringMatching(/^1 of 21 images were left out; the first: cannot read image a-broken\.png: /),
    ]);
  });
});

describe("what cannot be analysed is told in a sentence", () => {
  it.each([
    ["pixels", () => analyse(run, { data, encoders: ["pixels"] }), /^raw pixels have no layers to look into; /],
    ["an unknown stage", () => analyse(run, { data, encoders: ["mae"] }), /has no mae to measure; available: random/],
    ["a lone checkpoint", () => analyse(checkpoint), /is a checkpoint without a run: say which images to look at, /],
    ["no run", () => analyse("nowhere"), /^nowhere holds no run \(there is no such folder\)/],
    ["one image", () => analyse(run, { data, images: 1 }), /^an analysis needs two images or more, but .* shows 1$/],
    [
      "no images that can be read",
      async () => analyse(run, { data: { kind: "folder", path: await folderOf(0) } }),
      /^cannot read image a-broken\.png: /,
    ],
    [
      "no classes by layer",
      async () =>
        measureLayers(baselines(defineRecipe(tiny())).slice(0, 1), { kind: "folder", path: await folderOf(4) }),
      /^these images have no classes, so there is nothing to measure/,
    ],
  ])("%s", async (_, attempt, message) => {
    await expect(attempt()).rejects.toThrow(message);
  });
});
