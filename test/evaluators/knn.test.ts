import { expect, it } from "vitest";
import { knn } from "../../src/evaluators/knn.ts";
import { clusters, labelled } from "./toy.ts";

it("recognises clusters", async () => {
  const part = (name: string) => clusters(`knn ${name}`, { count: 60 });
  const splits = { classes: 3, train: part("train"), validation: part("validation"), test: part("test") };
  expect((await knn.run(splits))[0]!.value).toBeGreaterThan(0.9);
});

// Around direction 0° stand one mislabelled image and, a little further, two of the right class: k = 1 is wrong, k = 3 right.
const at = (degrees: number) => [Math.cos((degrees / 180) * Math.PI), Math.sin((degrees / 180) * Math.PI)];
const train = labelled([at(0), at(5), at(-5), at(90)], [1, 0, 0, 1]);
const right = labelled([at(0.1)], [0]);
const wrong = labelled([at(0.1)], [1]);

it("chooses k on the validation split", async () => {
  const score = async (validation: typeof right, test: typeof right) =>
    (await knn.run({ classes: 2, train, validation, test }, { ks: [1, 3] }))[0]!;
  expect(await score(right, right)).toMatchObject({ value: 1, validation: 1 }); // k = 3
  expect(await score(wrong, wrong)).toMatchObject({ value: 1, validation: 1 }); // k = 1
  expect(await score(right, wrong)).toMatchObject({ value: 0, validation: 1 }); // what the test split would like is not asked
});

it("weighs near neighbours more at a low temperature", async () => {
  const splits = { classes: 2, train, validation: right, test: right };
  expect((await knn.run(splits, { ks: [3], temperature: 1e-4 }))[0]!.value).toBe(0);
});

it("uses only candidates that the labelled images allow, and says when there are none", async () => {
  const splits = { classes: 2, train, validation: right, test: right };
  expect((await knn.run(splits, { ks: [3, 50] }))[0]!.value).toBe(1);
  await expect(knn.run(splits, { ks: [50] })).rejects.toThrow(
    "k-NN needs at least 50 labelled images, but there are 4",
  );
});
