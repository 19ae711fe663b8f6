import { expect, it } from "vitest";
import { collapse } from "../../src/measure/collapse.ts";

const stage = { name: "cl", warmup: 1, learningRate: 0.5 };
type Measured = readonly [deviation: number, accuracy?: number];

/** A row per half epoch, each with the metrics of a step and every second one with a measurement, from the first on. */
function rowsOf(measured: readonly Measured[]) {
  return measured.flatMap(([deviation, accuracy], i) => [
    {
      stage: "cl",
      step: 2 * i + 1,
      epoch: i,
      loss: 1,
      "features.deviation": deviation,
      ...(accuracy === undefined ? {} : { "knn.accuracy": accuracy }),
    },
    { stage: "cl", step: 2 * i + 2, epoch: i + 0.5, loss: 1 },
  ]);
}

/** At which of the measurements a run that makes them one after the other is warned. */
function warned(measured: readonly Measured[]): number[] {
  return measured.flatMap((_, i) =>
    collapse(rowsOf(measured.slice(0, i + 1)).slice(0, -1), stage) === undefined ? [] : [i],
  );
}

it.each<[string, Measured[], number[]]>([
  ["one that stays where it was", [[0.4], [0.4], [0.4], [0.4]], []],
  ["a fall, once, at its second measurement after the warm-up", [[0.4], [0.02], [0.02], [0.02], [0.02]], [3]],
  ["a dip in the warm-up", [[0.4], [0.02], [0.3], [0.3]], []],
  ["a dip after it", [[0.4], [0.4], [0.02], [0.4], [0.02], [0.4]], []],
  ["a fall that does not reach far", [[0.4], [0.4], [0.14], [0.14], [0.14]], []],
  ["another", [[0.9], [0.9], [0.16], [0.16], [0.16]], []],
  ["one that began low", [[0.1], [0.1], [0.05], [0.05], [0.05]], []],
  [
    "a fall in which k-NN rises",
    [
      [0.4, 0.1],
      [0.05, 0.2],
      [0.05, 0.2],
      [0.05, 0.3],
    ],
    [],
  ],
  [
    "a fall in which k-NN does too",
    [
      [0.4, 0.2],
      [0.05, 0.1],
      [0.05, 0.1],
      [0.05, 0.1],
    ],
    [3],
  ],
  ["nothing measured", [], []],
])("%s", (_, measured, at) => {
  expect(warned(measured)).toEqual(at);
});

it("says what was seen, what it means and what to try", () => {
  const rows = rowsOf([
    [0.4, 0.2],
    [0.02, 0.1],
    [0.02, 0.1],
    [0.012, 0.1],
  ]).slice(0, -1);
  expect(collapse(rows, stage)).toBe(
    "The features of stage cl have collapsed: at epoch 3.0 they are nearly the same for all images (their deviation fell " +
      "from 0.40 to 0.012; 0 is no difference) and k-NN is at 10.0 % (20.0 % at the start). This encoder can hardly tell images " +
      "apart. Start again with a lower learning rate (now 0.5), a longer warm-up or a larger batch, and check that the " +
      "augmented views still show what is in the images.",
  );
  const without = rowsOf([[0.4], [0.02], [0.02], [0.012]]).slice(0, -1);
  expect(collapse(without, stage)).toContain("0 is no difference). This encoder");
});
