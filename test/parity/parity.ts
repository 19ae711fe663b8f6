/** Compares layergraft with what PyTorch computed: one function per kind of fixture, none depends on a fixture's sizes. */
import { key } from "../../src/tensor/random.ts";
import { type TensorFile } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { input } from "../../src/graph/ops/index.ts";
import { cpu } from "../../src/backend/cpu.ts";
import { compile } from "../../src/backend/executable.ts";
import { Scope } from "../../src/nn/scope.ts";
import type { VitConfig } from "../../src/nn/vit.ts";
import { agreements } from "../../src/evaluators/conflict.ts";
import { belowPrefix } from "../../src/evaluators/encoder.ts";
import { l1Anchor } from "../../src/objectives/l1-anchor.ts";
import { mae, type MaeOptions, reconstruct } from "../../src/objectives/mae.ts";
import { mocov3, type MocoV3Options } from "../../src/objectives/mocov3.ts";
import type { Objective } from "../../src/objectives/objective.ts";
import { simclr, type SimclrOptions } from "../../src/objectives/simclr.ts";
import { simmim, type SimmimOptions } from "../../src/objectives/simmim.ts";
import { vicreg, type VicregOptions } from "../../src/objectives/vicreg.ts";
import { lower, type RateRule, stages } from "../../src/optim/groups.ts";
import { createStep, type Step } from "../../src/step/step.ts";

/** Largest relative error of each group of tensors; a group passes up to `tolerance`. */
export interface Comparison {
  readonly group: string;
  readonly error: number;
  readonly worst: string;
  readonly tolerance: number;
}

/** Every kind has its own part of this. */
type Config = VitConfig &
  MaeOptions &
  MocoV3Options &
  SimclrOptions &
  SimmimOptions &
  VicregOptions &
  TrainingConfig & { freezePatchEmbed: boolean };
interface TrainingConfig {
  /** Of equal groups of blocks. */
  readonly stageLearningRates: readonly number[];
  /** Of all that is not frozen, where there are no groups. */
  readonly learningRate?: number;
  readonly frozenBlocks: number;
  readonly weightDecay: number;
  readonly betas: readonly [number, number];
  readonly eps: number;
  readonly steps: number;
  readonly l1Weight: number;
  readonly l1Blocks: number;
}
type Got = Map<string, ArrayLike<number>>;

const kinds: Record<string, (fixture: TensorFile, config: Config) => Promise<Got>> = {
  mae: maeResults,
  simmim: (fixture, config) => gradientResults(fixture, simmim(config, config)),
  mocov3: (fixture, config) => gradientResults(fixture, mocov3(config, config), frozenPatches(config)),
  simclr: (fixture, config) => gradientResults(fixture, simclr(config, config)),
  vicreg: (fixture, config) => gradientResults(fixture, vicreg(config, config)),
  graft: graftResults,
  "frozen-graft": (fixture, config) => trainingResults(fixture, config, mocov3(config, config), frozenLower(config)),
  "reverse-graft": (fixture, config) => trainingResults(fixture, config, mae(config, config), frozenLower(config)),
  joint: jointResults,
};

/** Throws when the kind is unknown. */
export async function compare(fixture: TensorFile): Promise<{ kind: string; comparisons: Comparison[] }> {
  const { kind = "none", config = "{}" } = fixture.metadata;
  const results = kinds[kind];
  if (results === undefined) throw new Error(`unknown kind ${kind}; known: ${Object.keys(kinds).join(", ")}`);
  const given = JSON.parse(config) as Config & { image: number; patch: number };
  const got = await results(fixture, { ...given, imageSize: given.image, patchSize: given.patch });
  return { kind, comparisons: measure(fixture, got) };
}

/**
 * ‖out − ref‖ / ‖ref‖ per tensor. A reference that is zero but for rounding (a key bias, a bias before batch norm) is
 * measured against the largest tensor of its group instead of against its own noise.
 */
function measure(fixture: TensorFile, got: Got): Comparison[] {
  const groups = new Map<string, { name: string; difference: number; size: number }[]>();
  for (const [fullName, expected] of fixture.tensors) {
    if (!fullName.startsWith("expect.")) continue;
    const name = fullName.slice("expect.".length);
    const values = got.get(name);
    if (values === undefined || values.length !== expected.data.length)
      throw new Error(`${name}: expected ${expected.data.length} numbers, got ${values?.length ?? "none"}`);
    let [squares, differences] = [0, 0];
    for (let i = 0; i < values.length; i++) {
      const reference = Number(expected.data[i]);
      squares += reference ** 2;
      differences += (values[i]! - reference) ** 2;
    }
    const group = /^(grad|param)\./.exec(name)?.[1] ?? name;
    groups.set(group, [
      ...(groups.get(group) ?? []),
      { name, difference: Math.sqrt(differences), size: Math.sqrt(squares) },
    ]);
  }
  return [...groups].map(([group, tensors]) => {
    const floor = 1e-6 * Math.max(...tensors.map(({ size }) => size));
    const errors = tensors.map(({ name, difference, size }) => ({
      name,
      error: difference === 0 ? 0 : difference / Math.max(size, floor),
    }));
    const worst = errors.reduce((a, b) => (b.error > a.error || Number.isNaN(b.error) ? b : a));
    return { group, error: worst.error, worst: worst.name, tolerance: 1e-4 };
  });
}

async function maeResults(fixture: TensorFile, config: Config): Promise<Got> {
  const values = parameters(fixture);
  const batch = inputs(fixture);
  const step = await fixtureStep(mae(config, config), batch, []);
  await step.state.write(values);
  const { loss, gradients } = await step.gradients(batch);
  await step.release();

  const p = new Scope();
  const fields = Object.fromEntries(
    Object.entries(batch).map(([name, { shape }]) => [name, input(name, "float32", shape)]),
  );
  const program = await compile(reconstruct(p, config, config, fields));
  const feeds = [...p.variables.keys()].map((name) => [name, values.get(name)!] as const);
  const { prediction, mask } = await program.run({ ...batch, ...Object.fromEntries(feeds) });
  await program.release();
  return new Map<string, ArrayLike<number>>([
    ["loss", [loss]],
    ["prediction", floats(prediction!)],
    ["mask", floats(mask!)],
    ...named(gradients),
  ]);
}

async function gradientResults(
  fixture: TensorFile,
  objective: Objective,
  rules: readonly RateRule[] = [],
): Promise<Got> {
  const batch = inputs(fixture);
  const step = await fixtureStep(objective, batch, rules);
  await step.state.write(parameters(fixture));
  await step.moveCopies(0);
  const { loss, gradients } = await step.gradients(batch);
  const result: Got = new Map<string, ArrayLike<number>>([
    ["loss", [loss]],
    ...named(gradients),
    ...(await weights(step)),
  ]);
  for (const { value, name } of await untrained(step)) result.set(`grad.${name}`, new Float32Array(value.length));
  await step.release();
  return result;
}

function graftResults(fixture: TensorFile, config: Config): Promise<Got> {
  const contrast = mocov3(config, config);
  const { l1Weight, l1Blocks, stageLearningRates, depth } = config;
  const objective = l1Weight > 0 ? l1Anchor(contrast, depth, { weight: l1Weight, blocks: l1Blocks }) : contrast;
  return trainingResults(fixture, config, objective, [...frozenPatches(config), ...stages(depth, stageLearningRates)]);
}

/** Losses of the steps and the parameters after them. */
async function trainingResults(
  fixture: TensorFile,
  config: Config,
  objective: Objective,
  rules: readonly RateRule[],
): Promise<Got> {
  const fields = Object.keys(objective.fields);
  const first = fixture.tensors.has(`input.${fields[0]!}.0`) ? 0 : 1; // the contract leaves open where steps begin
  const batches = Array.from({ length: config.steps }, (_, i) =>
    Object.fromEntries(fields.map((field) => [field, fixture.tensors.get(`input.${field}.${first + i}`)!])),
  );
  const step = await fixtureStep(objective, batches[0]!, rules, config);
  const values = parameters(fixture);
  await step.state.write(values);
  await step.state.write(
    new Map([...values].map(([name, value]) => [name.replace("base_encoder.", "l1_anchor."), value])),
  );
  const losses: number[] = [];
  for (const [i, batch] of batches.entries()) {
    const { loss, metrics } = await step.run(batch, { number: i + 1, rate: config.learningRate ?? 1, progress: 0 });
    losses.push(metrics["task"] ?? loss);
  }
  const result: Got = new Map<string, ArrayLike<number>>([["losses", losses], ...(await weights(step))]);
  await step.release();
  return result;
}

async function jointResults(fixture: TensorFile, config: Config): Promise<Got> {
  const all = inputs(fixture);
  const values = parameters(fixture);
  // The encoder is shared: what one method's parameters leave out, the other's have.
  const mimValues = new Map<string, Tensor>();
  const clValues = new Map<string, Tensor>();
  for (const [name, value] of values)
    if (name.startsWith("cl.base_encoder.")) mimValues.set(name.slice("cl.base_encoder.".length), value);
    else if (name.startsWith("mim.")) clValues.set(`base_encoder.${name.slice("mim.".length)}`, value);
  for (const [name, value] of values)
    if (name.startsWith("mim.")) mimValues.set(name.slice("mim.".length), value);
    else if (name.startsWith("cl.")) clValues.set(name.slice("cl.".length), value);

  const mim = await fixtureStep(mae(config, config), { images: all["images"]!, noise: all["noise"]! }, []);
  await mim.state.write(mimValues);
  const first = await mim.gradients(all);
  const cl = await fixtureStep(mocov3(config, config), { view1: all["view1"]!, view2: all["view2"]! }, []);
  await cl.state.write(clValues);
  if (![...clValues.keys()].some((name) => name.startsWith("momentum_encoder."))) await cl.resetCopies();
  await cl.moveCopies(0);
  const second = await cl.gradients(all);
  await Promise.all([mim.release(), cl.release()]);

  const shared = belowPrefix(second.gradients, "base_encoder.");
  const blocks = agreements(first.gradients, shared).filter(({ group }) => group === "block");
  return new Map([
    ["loss.mim", [first.loss]],
    ["loss.cl", [second.loss]],
    ["cosine", blocks.map(({ cosine }) => cosine)],
  ]);
}

function fixtureStep(
  objective: Objective,
  batch: Readonly<Record<string, Tensor>>,
  rules: readonly RateRule[],
  { betas = [0.9, 0.999], eps: epsilon = 1e-8, weightDecay = 0 }: Partial<TrainingConfig> = {},
): Promise<Step> {
  const size = Object.values(batch)[0]!.shape[0]!;
  return createStep(objective, {
    batch: size,
    microBatch: size,
    rules,
    optimizer: { betas, epsilon, weightDecay },
    key: key(0),
    backend: cpu({ threads: 1 }),
  });
}

function frozenPatches({ freezePatchEmbed }: Config): RateRule[] {
  return freezePatchEmbed ? [{ match: "patch_embed\\.", frozen: true }] : [];
}

function frozenLower({ frozenBlocks }: Config): RateRule[] {
  return [{ match: lower(frozenBlocks), frozen: true }];
}

function parameters(fixture: TensorFile): Map<string, Tensor> {
  return new Map(
    [...fixture.tensors].flatMap(([name, value]) => (name.startsWith("param.") ? [[name.slice(6), value]] : [])),
  );
}

function inputs(fixture: TensorFile): Record<string, Tensor> {
  const found = [...fixture.tensors].filter(([name]) => name.startsWith("input."));
  return Object.fromEntries(found.map(([name, value]) => [name.slice(6), value]));
}

function named(gradients: ReadonlyMap<string, Tensor>): [string, Float32Array][] {
  return [...gradients].map(([name, value]) => [`grad.${name}`, floats(value)]);
}

async function weights(step: Step): Promise<[string, Float32Array][]> {
  return [...(await step.state.read({ moments: true }))].map(([name, value]) => [
    `param.${name}`,
    floats(value).slice(),
  ]);
}

/** Parameters that the graph knows to have no gradient: it is exactly zero. */
async function untrained({ state, treatments }: Step) {
  return [...(await state.read())].flatMap(([name, { data: value }]) =>
    state.trained.has(name) || treatments.get(name)?.frozen !== false ? [] : [{ name, value }],
  );
}

function floats(value: Tensor): Float32Array {
  return tensor("float32", value.shape, value.data as Float32Array).data;
}
