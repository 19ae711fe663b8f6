import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { conflictRows } from "../../src/evaluators/conflict.ts";
import { renderReport, writeReport } from "../../src/report/report.ts";
import { writeConflict } from "../../src/run/conflict.ts";
import { writeEvaluation } from "../../src/run/evaluation.ts";
import { createRun } from "../../src/run/folder.ts";
import { type MetricRow, MetricsLog } from "../../src/run/metrics.ts";
import { addNotes } from "../../src/run/notes.ts";
import { writeSamples } from "../../src/run/samples.ts";
import { environment, temporaryFolder, temporaryRun } from "../run/temporary.ts";

// The smallest PNG: one transparent pixel.
const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg==",
  "base64",
);

function log(dir: string, rows: readonly MetricRow[]): void {
  const metrics = new MetricsLog(dir);
  for (const row of rows) metrics.append(row);
  metrics.close();
}

/** A run with something in every section, and markup in every string a user can choose. */
function fullRun(): string {
  const dir = join(temporaryFolder(), "run <1>");
  const recipe = { description: "A <b>bold</b> & small run.", stages: ["<mim>", "cl"] };
  createRun(dir, { recipe, environment: { ...environment, command: `layergraft demo --out "<x>"` } });
  const steps = Array.from({ length: 60 }, (_, i) => i + 1);
  const watched = { "features.deviation": 0.5, "knn.accuracy": 0.4321, "knn.chance": 0.1 };
  log(dir, [
    ...steps.map((step) => ({ stage: "<mim>", step, epoch: step / 10, loss: 1 / step, secondsPerStep: 60 })),
    ...steps.map((step) => ({ stage: "cl", step, epoch: step / 10, loss: 5, learningRate: 1e-4, featureStd: 0.1 })),
    ...[61, 62].map((step) => ({ stage: "cl", step, epoch: step / 10, loss: 5, ...watched })),
  ]);
  writeEvaluation(dir, {
    columns: ["random", "pixels", "mim", "grafted"].map((name) => ({ name, title: `<i>${name}` })),
    rows: [
      {
        protocol: "knn",
        label: "k-NN <subgroup>",
        metric: "accuracy",
        values: { random: 0.302, pixels: 0.431, mim: 0.351, grafted: 0.458 },
        deviations: { grafted: 0.011 },
        chance: 0.02,
      },
      { protocol: "loss", label: "Loss", metric: "loss", values: { mim: 1.5, grafted: 2 }, better: "lower" },
    ],
    notes: ["<script>alert(1)</script>"],
  });
  const agreement = { mimNorm: 1, clNorm: 1 };
  const groups = ["attention", "mlp", "norm", "block"] as const;
  const batches = [0.5, -0.25, 0.125].map((cosine) =>
    groups.map((group) => ({ block: 0, group, cosine, ...agreement })),
  );
  writeConflict(dir, {
    encoder: { stage: "<mtl>", step: 60, checkpoint: "x" },
    mim: { objective: "<mae>", partsOf: "<mtl>", warmUpSteps: 0, loss: 1 },
    cl: { objective: "mocov3", warmUpSteps: 200, loss: 1 },
    batches: 3,
    batch: 8,
    seed: 0,
    ...conflictRows(batches),
  });
  for (const name of ["a.png", "b.png", "c.png"]) writeFileSync(join(dir, "samples", name), png);
  const layers = ["patch_embed", "block 0", "<head>"];
  writeSamples(dir, {
    learningRates: {
      stages: [
        { stage: "<mim>", layers: layers.map((layer) => ({ layer, rate: 1e-3 })) },
        { stage: "cl", layers: layers.map((layer, i) => ({ layer, rate: [0, 1e-5, 1e-3][i]!, frozen: i === 0 })) },
      ],
    },
    reconstructions: {
      stage: "<mim>",
      items: [{ id: "<r>", input: "a.png", masked: "b.png", reconstructed: "c.png" }],
    },
    neighbours: {
      encoders: [{ name: "random" }, { name: "grafted" }],
      queries: [
        {
          id: `"q"`,
          image: "a.png",
          results: {
            random: [{ id: "<n>", image: "b.png", similarity: 0.5, hit: false }],
            grafted: [{ id: "<n>", image: "c.png", similarity: 0.9, hit: true }],
          },
        },
      ],
    },
  });
  addNotes(dir, {
    facts: [{ name: "Images", value: "6,480 <all>" }],
    skipped: [{ path: "<broken>.png", reason: "is empty" }],
    warnings: ["<collapse>"],
  });
  return dir;
}

test("a full run shows every section", () => {
  const dir = fullRun();
  const path = writeReport(dir);
  const text = readFileSync(path, "utf8");
  for (const id of ["results", "reconstructions", "neighbours", "rates", "conflict", "training", "environment"])
    expect(text).toContain(`<section id="${id}">`);
  expect(text).toContain("30.2\u202f%");
  expect(text).toMatch(/<b>45\.8\u202f%<\/b>\s*<small>± 1\.1<\/small>/);
  expect(text).toContain("<b>1.5</b>"); // lower is better
  expect(text).toContain("0 of 1 image share the label");
  expect(text).toContain("learns 100 times slower than the fastest; 1 layer frozen.");
  expect(text).toContain("60 steps · 6 epochs · 60\u202fmin");
  expect(text.match(/<svg/g)).toHaveLength(4 + 1 + 2 + 2 + 2); // conflict, rates, two losses, learning rate and featureStd, k-NN and deviation
  expect(text).toContain("k-NN accuracy of the features; dashed: chance");
  expect(text).toContain("43.2\u202f%</text>");
  expect(text).toContain("stroke-dasharray"); // chance
  expect(text).toContain("fresh, fitted to the encoder for 200 steps");
  expect(text.match(/data:image\/png;base64,/g)).toHaveLength(3 + 3);
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
  ])
    expect(text).not.toContain(markup);
  expect(text).not.toMatch(/https?:\/\/|(src|href)="(?!data:)|url\(|@import/);
  expect(text).toContain("default-src 'none'");
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
