import { expect, it } from "vitest";
import { centredUnitRows, fewShot, type Shots } from "../../src/evaluators/few-shot.ts";
import { expectAllclose } from "../helpers.ts";
import { clusters, featuresOf, labelled } from "./toy.ts";

const splits = (spread: number) => ({
  classes: 3,
  train: clusters("few train", { count: 60, spread }),
  validation: clusters("few validation", { count: 3, spread }),
  test: clusters("few test", { count: 60, spread }),
});

it("gets better with more labels, and says how much it varies", async () => {
  const [one, five] = await fewShot.run(splits(0.45), { shots: [1, 5], draws: 4 });
  expect(one!.name).toBe("1 label per class");
  expect(one!.value).toBeGreaterThan(1 / 3);
  expect(five!.value).toBeGreaterThan(one!.value);
  expect(one!.deviation).toBeGreaterThan(0);
  expect([one!.labels, five!.labels]).toEqual([1, 5]);
  expect(one!.warning).toBeUndefined();
});

it("draws by the seed", async () => {
  const run = async (seed: number) => (await fewShot.run(splits(0.6), { shots: [1], draws: 3, seed }))[0]!;
  expect(await run(1)).toEqual(await run(1));
  expect((await run(2)).value).not.toBe((await run(1)).value);
});

it("takes a share of every class, and at least one image", async () => {
  const score = async (shots: Shots[]) => fewShot.run(splits(0.3), { shots, draws: 2 });
  const [tenth, all, one] = await score(["10%", "100%", "1%"]);
  expect([tenth!.name, one!.name]).toEqual(["10 % of labels", "1 % of labels"]);
  const perClass = splits(0.3).train.labels.length / 3;
  const [few, most, single] = await score([perClass / 10, perClass, 1]);
  expect(all!.value).toBe(most!.value); // there is only one choice
  expect(all!.deviation).toBe(0);
  for (const [share, number] of [[tenth, few] as const, [one, single] as const])
    expect(Math.abs(share!.value - number!.value)).toBeLessThan(0.2); // other draws of as many images
  expect(one!.value).toBeGreaterThan(1 / 3);
});

it("takes what there is of a class with fewer images, and one draw has no deviation", async () => {
  const [score] = await fewShot.run(splits(0.1), { shots: [1000], draws: 1 });
  expect(score!.value).toBeGreaterThan(0.95);
  expect(score!.deviation).toBe(0);
});

it("learns from the images that a split file names, once", async () => {
  const { train, ...rest } = splits(0.3);
  const rows = [0, 1, 2, 3, 4];
  const others = train.labels.map((label, i) => (rows.includes(i) ? label : (label + 1) % 3)); // are not looked at
  const [score] = await fewShot.run(
    { train: { ...train, labels: others }, ...rest },
    { shots: [{ file: "lists/few.txt", rows }] },
  );
  expect(score).toMatchObject({ name: "labels of few.txt", labels: 5 / 3 });
  expect(score!.deviation).toBeUndefined();
  expect(score!.value).toBeGreaterThan(0.5);
});

it("prepares rows by themselves: without their mean, of length 1", () => {
  const { rows } = centredUnitRows(
    featuresOf([
      [1, 3],
      [-5, -5],
      [0, 1e3],
    ]),
  );
  const half = Math.SQRT1_2;
  expectAllclose(rows, [-half, half, 0, 0, -half, half]);
});

it("tells length apart only with standardized columns", async () => {
  const line = (name: string) => {
    const { features, labels } = clusters(name, { count: 40, classes: 2, width: 1, spread: 0.1 });
    return labelled(
      Array.from(features.rows, (x) => [x, 2 * x]),
      [...labels],
    );
  };
  const lines = { classes: 2, train: line("line train"), validation: line("line"), test: line("line test") };
  const run = async (preparation: "paper" | "standardized") =>
    (await fewShot.run(lines, { shots: [5], draws: 2, preparation }))[0]!;
  expect((await run("standardized")).value).toBeGreaterThan(0.9);
  expect((await run("paper")).value).toBeLessThan(0.9);
});

it("warns of classifiers that are not solved", async () => {
  const [score] = await fewShot.run(splits(0.6), { shots: [20], draws: 2, lambda: 1e-30, threads: 1 });
  expect(score!.warning).toBe("2 of 2 classifiers stopped before they reached a relative duality gap of 0.001");
});
