import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { renderReport, writeReport } from "../../src/report/report.ts";
import { readConfusion, writeConfusion } from "../../src/run/confusion.ts";
import { readEvaluation, writeEvaluation } from "../../src/run/evaluation.ts";
import type { MetricRow } from "../../src/run/metrics.ts";
import { writeSamples } from "../../src/run/samples.ts";
import { temporaryFolder, temporaryRun } from "../run/temporary.ts";
import { fillRun, log } from "./full.ts";

function fullRun(): string {
  const dir = join(temporaryFolder(), "run <1>");
  fillRun(dir);
  return dir;
}

test("a full run shows every section", () => {
  const dir = fullRun();
  const path = writeReport(dir);
  const text = readFileSync(path, "utf8");
  expect([...text.matchAll(/<section id="([\w-]+)">/g)].map(([, id]) => id)).toEqual([
    "results",
    "label-efficiency",
    "layers",
    "confusion",
    "map",
    "reconstructions",
    "neighbours",
    "inside",
    "rates",
    "conflict",
    "training",
    "environment",
  ]);
  expect(text).toContain("30.2\u202f%");
  expect(text).toMatch(/<b>45\.8\u202f%<\/b>\s*<small>± 1\.1<\/small>/);
  expect(text).toContain("<b>1.5</b>"); // lower is better
  expect(text).toContain("0 of 1 image share the label");
  expect(text).toContain("learns 100 times slower than the fastest; 1 layer frozen.");
  expect(text).toContain("60 steps · 6 epochs · 60\u202fmin");
  // conflict, rates, two losses, learning rate and featureStd, k-NN and deviation; labels, layers, confusion; distances, statistics, CKA
  expect(text.match(/<svg/g)).toHaveLength(4 + 1 + 2 + 2 + 2 + 3 + 1 + 4 + 1);
  expect(text).toContain("k-NN accuracy of the features; dashed: chance");
  expect(text).toContain("43.2\u202f%</text>");
  expect(text).toContain("stroke-dasharray"); // chance
  expect(text).toContain("fresh, fitted to the encoder for 200 steps");
  // reconstruction, neighbours, worst pairs, attention, and each image of the map once
  expect(text.match(/data:image\/png;base64,/g)).toHaveLength(3 + 3 + 8 * 2 + 8 * 4 + 90);
});

test("everything is escaped and nothing is loaded from anywhere", () => {
  const text = renderReport(fullRun());
  for (const markup of [
    "<script",
    "<b>bold",
    "<mim>",
    "<mtl>",
    "<mae>",
    "<x>",
    "<i>random",
    "<head> ",
    "<r>",
    "<n>",
    "<broken>",
    "<1>",
    "<data>",
    "<10>",
    "<class",
    "<mistake",
    "<attention",
    "<image",
    "<group",
  ])
    expect(text).not.toContain(markup);
  expect(text).not.toMatch(/https?:\/\/|(src|href)="(?!data:)|url\((?!data:)|@import/);
  expect(text).toContain("default-src 'none'");
});

test("an encoder has its stage's colour wherever it stands", () => {
  const text = renderReport(fullRun());
  expect(text).toMatch(/background: var\(--stage-1\)"><\/i><strong>&#60;mim&#62;/);
  expect(text).toMatch(/background: var\(--stage-3\)"><\/i><strong>grafted/); // the second stage has the second
});

test("labels are compared by what they are as good as, and only within one kind of question", () => {
  const dir = fullRun();
  expect(renderReport(dir)).toMatch(/needs about 12\s+for that/);
  const evaluation = readEvaluation(dir)!;
  const rows = evaluation.rows.filter(({ labels }) => labels === undefined || labels === 1);
  const share = { ...rows.find(({ labels }) => labels === 1)!, label: "10 % of labels, <10> classes", labels: 40 };
  writeEvaluation(dir, { ...evaluation, rows: [...rows, share] });
  expect(renderReport(dir)).not.toContain('id="label-efficiency"');
  writeEvaluation(dir, { ...evaluation, rows: [...rows, share, { ...share, label: "50 % of labels", labels: 200 }] });
  expect(renderReport(dir)).toContain("shares of all labels");
});

test("up to 20 classes are all in the matrix; of more, those of the worst pairs", () => {
  const dir = fullRun();
  expect(renderReport(dir)).toMatch(/Of 24 classes, the \d+ of the worst pairs are shown/);
  const confusion = readConfusion(dir)!;
  writeConfusion(dir, { ...confusion, classes: ["a", "b"], counts: [[1, 3], [0, 4]], pairs: [] }); // prettier-ignore
  const text = renderReport(dir);
  expect(text).toMatch(/62\.5\u202f% of 8 test images\s+right/);
  expect(text).toContain("<title>a taken for b: 3 of 4</title>");
  expect(text).not.toContain("of the worst pairs");
});

test("the same folder gives the same page", () => {
  const dir = fullRun();
  const first = renderReport(dir);
  writeReport(dir);
  expect(renderReport(dir)).toBe(first);
});

test("a run that has just begun shows what there is", () => {
  const text = renderReport(temporaryRun());
  expect(text).toContain("A Vision Transformer pre-trained on images without labels.");
  expect(text.match(/<section id="\w+"/g)).toEqual([`<section id="environment"`]);
});

test.each<[string, MetricRow[]]>([
  ["one row", [{ stage: "mim", step: 1, loss: 1, learningRate: 0 }]],
  ["a constant", [1, 2, 3].map((step) => ({ stage: "mim", step, loss: 2, learningRate: 1e-3 }))],
  ["no finite value", [{ stage: "mim", step: 1, loss: Number.NaN, gradientNorm: Number.POSITIVE_INFINITY }]],
  ["text among the numbers", [{ stage: "mim", step: 1, loss: 1, phase: "warm-up" }]],
])("metrics with %s are drawn", (_, rows) => {
  const dir = temporaryRun();
  log(dir, rows);
  const text = renderReport(dir);
  expect(text).toContain("Stage 1: mim");
  expect(text).not.toMatch(/NaN|Infinity|undefined/);
});

test("pictures that are missing, outside the folder or no pictures are refused", () => {
  const dir = temporaryRun();
  const show = (input: string) => {
    const items = [{ id: "x", input, masked: input, reconstructed: input }];
    writeSamples(dir, { reconstructions: { stage: "mim", items } });
    return () => renderReport(dir);
  };
  expect(show("gone.png")).toThrow("gone.png is missing");
  expect(show("../../secret.png")).toThrow("not a PNG, JPEG or WebP file inside that folder");
  expect(show("/etc/x.png")).toThrow("not a PNG, JPEG or WebP file inside that folder");
  expect(show("notes.json")).toThrow("not a PNG, JPEG or WebP file inside that folder");
});
