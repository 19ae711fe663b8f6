import type { MetricRow } from "../run/metrics.ts";
import type { Stage } from "../recipe/recipe.ts";

/**
 * What to tell the reader when the newest measurement shows that the features have collapsed; once a stage.
 *
 * That is: two measurements in a row, after the warm-up, find a deviation below 0.15 (images are then alike to a cosine of
 * 0.98) and below a third of where the stage began, and k-NN, where there is one, tells the classes apart hardly better
 * than it did then. Where the numbers come from: fresh encoders of all sizes lie between 0.4 and 0.5; MIM falls to 0.2 in its
 * warm-up and comes back; the 72 encoders of docs/study.md end between 0.2 and 0.5; a learning rate far too high ends below
 * 0.11. Features that lie close together are still good ones when k-NN rises.
 */
export function collapse(
  rows: readonly MetricRow[],
  { name, warmup, learningRate }: Pick<Stage, "name" | "warmup" | "learningRate">,
): string | undefined {
  const measured = rows.filter((row) => row["features.deviation"] !== undefined);
  const [start, last] = [measured[0], measured.at(-1)];
  if (start === undefined || last === undefined) return undefined;
  const low = measured.map(
    (row) =>
      row.epoch! > warmup &&
      deviation(row) < 0.15 &&
      deviation(row) < deviation(start) / 3 &&
      (accuracy(row) ?? 0) < (accuracy(start) ?? 0) + 0.05,
  );
  const found = low.findIndex((isLow, i) => isLow && low[i - 1] === true);
  if (found !== measured.length - 1) return undefined;
  const [before, now] = [accuracy(start), accuracy(last)];
  const percent = (share: number) => `${(100 * share).toFixed(1)} %`;
  const knn =
    before === undefined || now === undefined
      ? ""
      : ` and k-NN is at ${percent(now)} (${percent(before)} at the start)`;
  return (
    `The features of stage ${name} have collapsed: at epoch ${last.epoch!.toFixed(1)} they are nearly the same for all ` +
    `images (their deviation fell from ${deviation(start).toFixed(2)} to ${deviation(last).toFixed(3)}; 0 is no difference)` +
    `${knn}. This encoder can hardly tell images apart. Start again with a lower learning rate (now ${learningRate}), a ` +
    "longer warm-up or a larger batch, and check that the augmented views still show what is in the images."
  );
}

function deviation(row: MetricRow): number {
  return Number(row["features.deviation"]);
}

function accuracy(row: MetricRow): number | undefined {
  const value = row["knn.accuracy"];
  return value === undefined ? undefined : Number(value);
}
