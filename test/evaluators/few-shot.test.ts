import { expect, it } from "vitest";
import { fewShot, type Shots } from "../../src/evaluators/few-shot.ts";
import { clusters } from "./toy.ts";

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
