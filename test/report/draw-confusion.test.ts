import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { openSource } from "../../src/data/sources/open.ts";
import { drawConfusion } from "../../src/report/draw-confusion.ts";
import { readConfusion } from "../../src/run/confusion.ts";
import { createRun } from "../../src/run/folder.ts";
import { method } from "../../src/methods/methods.ts";
import { environment, temporaryFolder } from "../run/temporary.ts";

it("draws mistakes and examples of the worst pairs, the same ones every time", async () => {
  const data = { kind: "synthetic", length: 24, size: 16 } as const;
  const source = await openSource(data);
  const stage = { epochs: 1, batch: 4, learningRate: 1e-3 };
  const model = { imageSize: 16, patchSize: 8, width: 12, depth: 3, heads: 2 };
  const recipe = method("mim", { data, model, resize: 16, mim: stage, cl: stage });
  const dir = join(temporaryFolder(), "run");
  createRun(dir, { recipe, environment });

  // rows 4 … 23; class 0 is taken for 1 in all ten images, 1 for 0 in two of ten
  const rows = Array.from({ length: 20 }, (_, i) => i + 4);
  const labels = Int32Array.from(rows, (_, i) => i % 2);
  const predictions = Int32Array.from(rows, (_, i) => (i % 2 === 0 || i >= 4 ? 1 : 0));
  const input = {
    source,
    rows,
    labels,
    predictions,
    classes: ["a", "b"],
    encoder: { name: "cl", title: "CL" },
    label: "k-NN",
  };
  const confusion = await drawConfusion(dir, input);
  expect(readConfusion(dir)).toEqual(confusion);
  expect(confusion.counts).toEqual([
    [0, 10],
    [2, 8],
  ]);
  expect(confusion.pairs).toMatchObject([
    { truth: 0, predicted: 1, count: 10 },
    { truth: 1, predicted: 0, count: 2 },
  ]);
  const [first, second] = confusion.pairs;
  expect(confusion.pairs.map(({ images, examples }) => [images.length, examples.length])).toEqual([
    [5, 3],
    [2, 3], // no image of class 0 was recognised, so others show what it looks like
  ]);
  const recognised = rows.filter((_, i) => labels[i] === 1 && predictions[i] === 1).map((row) => source.id(row));
  expect(recognised).toEqual(expect.arrayContaining(first!.examples.map(({ id }) => id)));
  expect(second!.images.map(({ id }) => id).sort()).toEqual([source.id(5), source.id(7)].sort());
  const names = confusion.pairs.flatMap(({ images, examples }) => [...images, ...examples].map(({ image }) => image));
  expect(names.every((name) => existsSync(join(dir, "samples", name)))).toBe(true);
  const before = readFileSync(join(dir, "confusion.json"), "utf8");
  await drawConfusion(dir, input);
  expect(readFileSync(join(dir, "confusion.json"), "utf8")).toBe(before);
});
