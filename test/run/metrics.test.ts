import { appendFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type MetricRow, MetricsLog, readMetrics, rewindMetrics } from "../../src/run/metrics.ts";
import { temporaryRun } from "./temporary.ts";

const stages = ["mim", "cl"];
const rows: MetricRow[] = [
  ...[1, 2, 3].map((step) => ({ stage: "mim", step, epoch: step / 2, loss: 1 / step })),
  ...[1, 2].map((step) => ({ stage: "cl", step, epoch: step / 2, loss: 5 - step, featureStd: 0.1 })),
];

function write(dir: string, written: readonly MetricRow[]): void {
  const log = new MetricsLog(dir);
  for (const row of written) log.append(row);
  log.sync();
  log.close();
}
const textOf = (dir: string) => readFileSync(join(dir, "metrics.jsonl"), "utf8");

test("rows are read as written, and later logs continue", () => {
  const dir = temporaryRun();
  expect(readMetrics(dir)).toEqual([]);
  write(dir, rows.slice(0, 2));
  write(dir, rows.slice(2));
  expect(readMetrics(dir)).toEqual(rows);
});

test("numbers that are not finite come back as NaN", () => {
  const dir = temporaryRun();
  write(dir, [{ stage: "mim", step: 1, loss: Number.POSITIVE_INFINITY }]);
  expect(textOf(dir)).toBe(`{"stage":"mim","step":1,"loss":null}\n`);
  expect(readMetrics(dir)[0]!["loss"]).toBeNaN();
});

test.each([
  [{ stage: "mim", step: 2 }, 2],
  [{ stage: "mim", step: 3 }, 3],
  [{ stage: "mim", step: 0 }, 0],
  [{ stage: "cl", step: 1 }, 4],
  [{ stage: "cl", step: 0 }, 3],
  [{ stage: "cl", step: 9 }, 5],
])("rewound to %j, %i rows stay, and writing the rest again gives the same file", (position, kept) => {
  const dir = temporaryRun();
  write(dir, rows);
  const whole = textOf(dir);
  expect(rewindMetrics(dir, { ...position, stages })).toBe(rows.length - kept);
  expect(readMetrics(dir)).toEqual(rows.slice(0, kept));
  write(dir, rows.slice(kept));
  expect(textOf(dir)).toBe(whole);
});

test("rewinding a run without log does nothing", () => {
  expect(rewindMetrics(temporaryRun(), { stage: "mim", step: 1, stages })).toBe(0);
});

test("a torn last line is ignored, and cut before the next row", () => {
  const dir = temporaryRun();
  write(dir, rows.slice(0, 2));
  appendFileSync(join(dir, "metrics.jsonl"), `{"stage":"mim","st`);
  expect(readMetrics(dir)).toEqual(rows.slice(0, 2));
  write(dir, rows.slice(2));
  expect(readMetrics(dir)).toEqual(rows);
});

test.each(["{", "3", `{"stage":"mim"}`, `{"stage":1,"step":1}`])("a damaged inner line %s is named", (line) => {
  const dir = temporaryRun();
  writeFileSync(join(dir, "metrics.jsonl"), `{"stage":"mim","step":1}\n${line}\n`);
  expect(() => readMetrics(dir)).toThrow("metrics.jsonl, line 2 is not a metrics row");
});
