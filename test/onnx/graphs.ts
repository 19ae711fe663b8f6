/** Every graph that training and evaluation run, of a tiny size, with numbers to run it on. */
import dino from "../../examples/custom-objective.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { input, matmul, topK } from "../../src/graph/ops/index.ts";
import { reachable, type Value } from "../../src/graph/value.ts";
import { Scope, type Variable } from "../../src/nn/scope.ts";
import type { Backend, Executable } from "../../src/backend/backend.ts";
import { alone } from "../../src/collective/collective.ts";
import { classify, logits } from "../../src/objectives/classify.ts";
import { joint } from "../../src/objectives/joint.ts";
import { l1Anchor } from "../../src/objectives/l1-anchor.ts";
import { mae, reconstruct } from "../../src/objectives/mae.ts";
import { mocov3 } from "../../src/objectives/mocov3.ts";
import type { Objective } from "../../src/objectives/objective.ts";
import { simmim } from "../../src/objectives/simmim.ts";
import { cut } from "../../src/step/micro-batches.ts";
import { createGradient } from "../../src/step/gradient.ts";
import { openFeatures } from "../../src/evaluators/encoder.ts";
import { type HeadGridOptions, judgingGraph, trainingGraph } from "../../src/evaluators/head-grid.ts";
import { insideGraph } from "../../src/evaluators/inside.ts";
import { lossGraph } from "../../src/evaluators/logistic.ts";
import { draw, integers, randomFor } from "../helpers.ts";
import {
  maeOptions,
  mocoOptions,
  model,
  simmimOptions,
  tinyMae,
  tinyMoco,
  tinySimclr,
  tinySimmim,
  tinyVicreg,
} from "../objectives/tiny.ts";

export interface Graph {
  readonly outputs: Readonly<Record<string, Value>>;
  /** What a variable starts from, where the graph has any. */
  readonly variables?: ReadonlyMap<string, Variable>;
}

const classes = 3;
const batch = 8;
const mocoWith = (options: object) => mocov3(model, { ...mocoOptions, ...options });
const classifyWith = (options: object) => classify(model, { classes, pooling: "cls", dropPath: 0, ...options });
const dinoOptions = { outputs: 24, hidden: 16, bottleneck: 8 };

/** How the step of an objective is asked for. */
interface Asked {
  readonly microBatch?: number;
  readonly recompute?: boolean;
  /** Which parameters get no gradient. */
  readonly frozen?: RegExp;
}

const steps: readonly (readonly [string, Objective, Asked?])[] = [
  ["MAE", tinyMae],
  ["MAE of plain pixels, in micro-batches", mae(model, { ...maeOptions, normPix: false }), { microBatch: 4 }],
  ["MAE, recomputed", tinyMae, { recompute: true }],
  ["SimMIM", tinySimmim],
  ["SimMIM by tiles of patches, recomputed", simmim(model, { ...simmimOptions, maskUnit: 2 }), { recompute: true }],
  ["MoCo v3", tinyMoco],
  ["MoCo v3, frozen below", tinyMoco, { frozen: /cls_token|embed|blocks\.0\./ }],
  ["MoCo v3 in micro-batches, recomputed", tinyMoco, { microBatch: 4, recompute: true }],
  ["MoCo v3, the encoder frozen, in micro-batches", tinyMoco, { microBatch: 4, frozen: /^base_encoder\.(?!head)/ }],
  ["MoCo v3 on a share of the patches", mocoWith({ patchDrop: { ratio: 0.5, keys: "same" } })],
  ["MoCo v3 on a share, keys on all", mocoWith({ patchDrop: { ratio: 0.5, keys: "all" } }), { microBatch: 4 }],
  ["SimCLR", tinySimclr],
  ["SimCLR in micro-batches", tinySimclr, { microBatch: 4 }],
  ["VICReg", tinyVicreg],
  ["VICReg in micro-batches", tinyVicreg, { microBatch: 4 }],
  ["joint", joint(mae(model, maeOptions, "base_encoder."), tinyMoco, { mimWeight: 1, clWeight: 0.5 })],
  [
    "joint of SimMIM and MoCo v3 in micro-batches",
    joint(simmim(model, simmimOptions, "base_encoder."), tinyMoco, { mimWeight: 1, clWeight: 0.5 }),
    { microBatch: 4 },
  ],
  ["L1 anchor", l1Anchor(tinyMoco, model.depth, { weight: 0.01, blocks: 1 })],
  ["classification", classifyWith({})],
  ["classification of means with drop path", classifyWith({ pooling: "mean", dropPath: 0.2 }), { microBatch: 4 }],
  ["classification with two layers", classifyWith({ firstLayer: 16 }), { frozen: /blocks\.0\./ }],
  ["DINO", dino.create(model, dino.schema.parse({ kind: "dino", ...dinoOptions }))],
  ["DINO in micro-batches", dino.create(model, dino.schema.parse({ kind: "dino", ...dinoOptions })), { microBatch: 4 }],
];

const heads = [0.1, 1].map((learningRate) => ({ learningRate, weightDecay: 0.01 }));
const grid: HeadGridOptions = {
  heads,
  classes,
  width: 8,
  batch,
  optimizer: "sgd",
  momentum: 0.9,
  batchNorm: true,
  weight: Float32Array.from({ length: classes * 8 }, (_, i) => ((i * 7) % 11) / 11 - 0.5),
};
const images = input("images", "float32", [batch, 3, model.imageSize, model.imageSize]);

/** Graphs by name. */
export async function graphs(): Promise<Map<string, Graph>> {
  const all = new Map<string, Graph>();
  for (const [name, objective, { microBatch = batch, recompute = false, frozen } = {}] of steps) {
    const { backend, compiled } = recorder();
    const { variables } = await createGradient(objective, {
      backend,
      microBatches: cut(objective, batch, microBatch, alone),
      isFrozen: (parameter) => frozen?.test(parameter) ?? false,
      recompute,
      collective: alone,
    });
    const byName = new Map(variables.map((each) => [each.name, each]));
    for (const [i, outputs] of compiled.entries())
      all.set(compiled.length === 1 ? name : `${name}, graph ${i + 1}`, { outputs, variables: byName });
  }
  for (const pooling of ["cls", "mean"] as const) {
    const { backend, compiled } = recorder();
    await openFeatures(backend, model, batch, () => tensor("float32", []), pooling);
    all.set(`features, ${pooling}`, { outputs: compiled[0]! });
  }
  const inside = Object.entries(insideGraph(model, batch)).flatMap(([aspect, values]) =>
    values.map((value, i) => [`${aspect}.${i}`, value] as const),
  );
  all.set("the inside of an encoder", { outputs: Object.fromEntries(inside) });
  const scope = new Scope();
  const classifier = { logits: logits(scope, model, { classes, pooling: "cls" }, { images }) };
  all.set("classifier", { outputs: classifier, variables: scope.variables });
  const reconstruction = new Scope();
  const noise = input("noise", "float32", [batch, 16]);
  const pictures = reconstruct(reconstruction, model, maeOptions, { images, noise });
  all.set("reconstruction", { outputs: pictures, variables: reconstruction.variables });
  const [queries, gallery] = [input("queries", "float32", [20, 6]), input("gallery", "float32", [50, 6])];
  const { values, indices } = topK(matmul(queries, gallery, { transB: true }), 7);
  all.set("neighbours", { outputs: { values, indices } });
  all.set("logistic regression", { outputs: lossGraph(20, 5, classes) });
  for (const optimizer of ["sgd", "lars"] as const) {
    const { outputs, scope } = trainingGraph({ ...grid, optimizer });
    all.set(`heads by ${optimizer}`, { outputs, variables: scope.variables });
  }
  all.set("heads without batch normalisation or momentum", trainingGraph({ ...grid, batchNorm: false, momentum: 0 }));
  all.set("heads judged", { outputs: judgingGraph(grid) });
  return all;
}

/** A backend that keeps what it is asked to compile. */
function recorder() {
  const compiled: Readonly<Record<string, Value>>[] = [];
  const nothing = { inputs: new Map(), outputs: new Map(), bind: () => undefined } as Partial<Executable> as Executable;
  const backend: Pick<Backend, "name" | "compile"> = {
    name: "recorder",
    async compile(outputs) {
      compiled.push(outputs);
      return nothing;
    },
  };
  return { backend: backend as Backend, compiled };
}

/** Something to feed each input of a graph. Sums start at zero, so that a gradient that nobody adds is seen. */
export function feedsOf({ outputs, variables }: Graph): Record<string, Tensor> {
  const feeds: Record<string, Tensor> = {};
  for (const value of reachable(Object.values(outputs))) {
    if (value.op.name !== "Input") continue;
    const { shape, dtype } = value;
    const name = value.attrs["name"] as string;
    const random = randomFor("graph", name);
    if (dtype === "int64")
      feeds[name] = integers(
        shape,
        Array.from({ length: sizeOf(shape) }, (_, i) => i % classes),
      );
    else if (name.startsWith("sum:")) feeds[name] = tensor("float32", shape);
    else if (/noise|lambda|factor|emperature|running_var/.test(name))
      feeds[name] = draw(dtype as "float32", shape, random, () => random.uniform(0.1, 1));
    else if (name.endsWith("targets")) feeds[name] = draw("float32", shape, random, () => random.uniform() / classes);
    else {
      const init = variables?.get(name)?.init;
      // a little off what it starts from, where much is exactly zero or one
      const start = init === undefined ? undefined : init(shape, [0, sizeOf(shape)]);
      let i = 0;
      const scale = start === undefined ? (/^(batch|encoded|cotangent):|^images$|^x$/.test(name) ? 1 : 0.2) : 0.05;
      feeds[name] = draw(dtype as "float32", shape, random, () => (start?.[i++] ?? 0) + scale * random.normal());
    }
  }
  return feeds;
}
