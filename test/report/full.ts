/** A run with something in every section of the report, and markup in every string a user can choose. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { conflictRows } from "../../src/evaluators/conflict.ts";
import { confusionCounts, worstPairs } from "../../src/evaluators/confusion.ts";
import { writeAnalysis } from "../../src/run/analysis.ts";
import { writeConflict } from "../../src/run/conflict.ts";
import { writeConfusion } from "../../src/run/confusion.ts";
import { writeEvaluation } from "../../src/run/evaluation.ts";
import { createRun } from "../../src/run/folder.ts";
import { writeLayers } from "../../src/run/layers.ts";
import { type MetricRow, MetricsLog } from "../../src/run/metrics.ts";
import { addNotes } from "../../src/run/notes.ts";
import { writeSamples } from "../../src/run/samples.ts";
import { environment } from "../run/temporary.ts";

/** One red pixel. */
const png = Buffer.from(
  "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAACXBIWXMAAAPoAAAD6AG1e1JrAAAADElEQVQI12P4z8AAAAMBAQAY3Y2wAAAAAElFTkSuQmCC",
  "base64",
);

export function log(dir: string, rows: readonly MetricRow[]): void {
  const metrics = new MetricsLog(dir);
  for (const row of rows) metrics.append(row);
  metrics.close();
}

const encoders = ["random", "<mim>", "grafted"].map((name) => ({ name, title: `${name} <i>encoder` }));
const depths = Array.from({ length: 13 }, (_, depth) => depth);

/** Creates the run in `dir`. */
export function fillRun(dir: string): void {
  const recipe = { description: "A <b>bold</b> & small run.", stages: ["<mim>", "cl"] };
  createRun(dir, { recipe, environment: { ...environment, command: `layergraft demo --out "<x>"` } });
  const steps = Array.from({ length: 60 }, (_, i) => i + 1);
  log(dir, [
    ...steps.map((step) => ({ stage: "<mim>", step, epoch: step / 10, loss: 1 / step, secondsPerStep: 60 })),
    ...steps.map((step) => ({
      stage: "cl",
      step,
      epoch: step / 10,
      loss: 5,
      learningRate: 1.5e-3 * (1 - step / 60) + 1.4e-10,
      featureStd: 0.1,
    })),
    ...[61, 62].map((step) => ({
      stage: "cl",
      step,
      epoch: step / 10,
      loss: 5,
      "features.deviation": 0.5,
      "knn.accuracy": 0.4321,
      "knn.chance": 0.1,
    })),
  ]);
  writeEvaluation(dir, {
    columns: ["random", "pixels", "<mim>", "grafted"].map((name) => ({ name, title: `<i>${name}` })),
    rows: [
      {
        protocol: "knn",
        label: "k-NN <subgroup>",
        metric: "accuracy",
        values: { random: 0.302, pixels: 0.431, "<mim>": 0.351, grafted: 0.458 },
        deviations: { grafted: 0.011 },
        chance: 0.02,
      },
      ...[1, 2, 5, 20, 100].map((labels) => ({
        protocol: "few-shot",
        label: `${labels} labels per class, <10> classes`,
        metric: "accuracy",
        labels,
        values: {
          random: 0.12,
          "<mim>": 0.1 + 0.05 * Math.log(labels + 1),
          grafted: 0.15 + 0.07 * Math.log(labels + 1),
        },
        deviations: { "<mim>": 0.02, grafted: 0.03 },
        chance: 0.1,
      })),
      {
        protocol: "loss",
        label: "Loss",
        metric: "loss",
        share: false,
        values: { "<mim>": 1.5, grafted: 2 },
        better: "lower",
      },
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
  writeLayers(dir, {
    data: "<data>",
    protocol: "knn",
    label: "k-NN, <10> classes",
    chance: 0.1,
    encoders: encoders.map((encoder, i) => ({
      ...encoder,
      scores: depths.map((depth) => ({ depth, value: 0.2 + 0.02 * i * Math.sqrt(depth) - 0.001 * (depth - 6) ** 2 })),
    })),
  });
  writeConfusion(dir, confusion());
  writeAnalysis(dir, {
    data: "<data>",
    imageSize: 64,
    encoders: encoders.map((encoder, i) => ({
      ...encoder,
      statistics: depths.map((depth) => ({
        depth,
        norm: 10 + i * depth,
        deviation: 0.8 - 0.01 * i * depth,
        correlation: 0.1 / (1 + i),
        participationRatio: 3 + i + depth,
      })),
      distances: depths.slice(1).map((depth) => ({
        block: depth - 1,
        mean: 20 + i * depth,
        heads: [18, 20, 22].map((head) => head + i * depth),
      })),
    })),
    attention: Array.from({ length: 8 }, (_, i) => ({
      id: `<attention ${i}>`,
      image: "a.png",
      maps: { random: "b.png", "<mim>": "c.png", grafted: "c.png" },
    })),
    similarities: [
      {
        first: "<mim>",
        second: "grafted",
        values: depths.map((i) => depths.map((j) => 1 / (1 + Math.abs(i - j)))),
      },
    ],
    map: {
      method: "UMAP",
      groups: Array.from({ length: 12 }, (_, group) => `<group ${group}>`),
      images: Array.from({ length: 90 }, (_, i) => ({
        id: `<image ${i}>`,
        image: "b.png",
        group: Math.floor(i ** 2 / 700) - 1,
      })),
      encoders: encoders.map((encoder, e) => ({
        ...encoder,
        points: Array.from({ length: 90 }, (_, i): [number, number] => [
          Math.cos((e + 2) * i) * i,
          Math.sin((e + 2) * i) * (i + 20),
        ]),
      })),
    },
  });
  addNotes(dir, {
    facts: [{ name: "Images", value: "6,480 <all>" }],
    skipped: [{ path: "<broken>.png", reason: "is empty" }],
    warnings: ["<collapse>"],
  });
}

/** 24 classes of 10 test images each, of which some are taken for the class one or five further. */
function confusion() {
  const classes = Array.from({ length: 24 }, (_, i) => `<class ${i}> with a long name`);
  const labels = Array.from({ length: 240 }, (_, i) => i % 24);
  const predictions = labels.map((label, i) => (label + (i % 7 === 0 ? 1 : i % 11 === 0 ? 5 : 0)) % 24);
  const counts = confusionCounts(labels, predictions, classes.length);
  const pictures = [{ id: "<mistake>", image: "a.png" }];
  return {
    data: "<data>",
    encoder: encoders[2]!,
    label: "linear probe, <24> classes",
    classes,
    counts,
    pairs: worstPairs(counts, 8).map((pair) => ({ ...pair, images: pictures, examples: pictures })),
  };
}
