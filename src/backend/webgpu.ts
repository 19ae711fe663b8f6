/**
 * A GPU through ONNX Runtime's WebGPU provider. The training state stays on the device from step to step: only the batch
 * goes in, and loss, norm and metrics come out. The optimizer, averages and norms are graphs of our own operations.
 *
 * The runtime cannot write into a tensor that is there already. So every run makes new outputs, and then the old ones are
 * freed; what is done to many variables is done to groups of them, so that the second copy is that of a group.
 */
import { sameShape, type Shape, show, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import * as op from "../graph/ops/index.ts";
import type { Type, Value } from "../graph/value.ts";
import { toDevice } from "../graph/ops/device.ts";
import { lower } from "../onnx/lower.ts";
import type { Allocation, Backend, Executable, Handle, Pair, State, Update } from "./backend.ts";
import { type ExecutableOptions, hostTensor, hostValue, openDeviceSession, type RuntimeTensor } from "./executable.ts";

export function webgpu(options: Omit<ExecutableOptions, "provider"> = {}): Backend {
  const settings = { ...options, provider: "webgpu" } as const;
  const compile: Backend["compile"] = (outputs, bound = []) => compileOn(settings, outputs, bound);
  return { name: "webgpu", compile, allocate: (allocation) => allocate(compile, allocation) };
}

/** A place on the device; what lies there is replaced and not changed. */
class DeviceTensor implements Handle {
  readonly dtype = "float32";
  readonly shape: Shape;
  /** Nothing until it is written first. */
  #value: RuntimeTensor | undefined;
  /** Whether others have the same value, which is then not freed here. */
  #isShared = false;

  constructor(shape: Shape) {
    this.shape = shape;
  }

  /** The value as an input of that shape. */
  as(shape: Shape): RuntimeTensor {
    if (this.#value === undefined) throw new Error("a tensor is read on the device before it is written");
    // The runtime takes the shape from the object and has no other way to say that the same numbers have another one.
    const same = Object.create(Object.getPrototypeOf(this.#value) as object) as RuntimeTensor;
    return Object.assign(same, this.#value, { dims: [...shape] });
  }

  replace(value: RuntimeTensor, isShared = false) {
    this.free();
    [this.#value, this.#isShared] = [value, isShared];
  }

  free() {
    if (!this.#isShared) this.#value?.dispose();
    this.#value = undefined;
  }
}

/** A place seen in another shape. */
interface View extends Handle {
  readonly place: DeviceTensor;
}

const isView = (handle: Handle): handle is View => "place" in handle;
const isHost = (handle: Handle): handle is Tensor => "data" in handle;

async function compileOn(
  options: ExecutableOptions,
  outputs: Readonly<Record<string, Value>>,
  bound: readonly string[],
): Promise<Executable> {
  const { model, inputs } = lower(outputs, {}, { target: "device" });
  const types = new Map<string, Type>(Object.entries(outputs));
  const session = await openDeviceSession(model, [...types.keys()], bound, options);
  const feeds = new Map<string, Handle>();
  const fetches = new Map<string, DeviceTensor>();
  /** What was bound from the host: sent once, before the first run that needs it. */
  const sent = new Map<string, DeviceTensor>();
  /** What sent it. The runtime frees a tensor with the session that made it, which must not have gone before. */
  const senders: Executable[] = [];

  return {
    inputs,
    outputs: types,
    bind(handles) {
      for (const [name, handle] of Object.entries(handles.inputs ?? {})) {
        feeds.set(name, checked(name, handle, inputs.get(name)));
        sent.get(name)?.free();
        sent.delete(name);
      }
      for (const [name, handle] of Object.entries(handles.outputs ?? {})) {
        const place = checked(name, handle, types.get(name));
        if (!isView(place)) throw new Error(`${name} is bound to a tensor that does not lie on this device`);
        fetches.set(name, place.place);
      }
    },
    async run(more = {}) {
      const waiting = [...feeds].filter(([name, handle]) => isHost(handle) && !sent.has(name)) as [string, Tensor][];
      for (const [name, place] of await send(options, waiting, senders)) sent.set(name, place);
      const all: Record<string, RuntimeTensor> = {};
      for (const name of inputs.keys()) {
        const handle = name in more ? checked(name, more[name]!, inputs.get(name)) : feeds.get(name);
        if (handle === undefined) throw new Error(`input ${name} is neither bound nor fed`);
        const place = isView(handle) ? handle.place : name in more ? undefined : sent.get(name);
        all[name] = place === undefined ? hostTensor(handle as Tensor) : place.as(handle.shape);
      }
      const unknown = Object.keys(more).find((name) => !inputs.has(name));
      if (unknown !== undefined) throw new Error(`the graph has no tensor named ${unknown}`);
      const results = await session.run(all);
      const host: Record<string, Tensor> = {};
      for (const name of types.keys()) {
        const place = fetches.get(name);
        if (place !== undefined) place.replace(results[name]!);
        else if (bound.includes(name)) results[name]!.dispose();
        else host[name] = hostValue(results[name]!, types.get(name)!);
      }
      return host;
    },
    async release() {
      for (const place of sent.values()) place.free();
      for (const each of senders) await each.release();
      await session.release();
    },
  };
}

/** Puts tensors on the device; `senders` gets the graphs that did, to be released after the tensors are. */
async function send(
  options: ExecutableOptions,
  tensors: readonly (readonly [string, Tensor])[],
  senders: Executable[],
): Promise<Map<string, DeviceTensor>> {
  const places = new Map(tensors.map(([name, { shape }]) => [name, new DeviceTensor(shape)]));
  for (const group of groupsOf(tensors, ([, { data }]) => data.length)) {
    const names = group.map(([name]) => name);
    const outputs = group.map(([name, { shape }]) => [name, op.input(`host.${name}`, "float32", shape)] as const);
    const copy = await compileOn(options, Object.fromEntries(outputs), names);
    copy.bind({ outputs: Object.fromEntries(names.map((name) => [name, viewOf(places.get(name)!)])) });
    await copy.run(Object.fromEntries(group.map(([name, value]) => [`host.${name}`, value])));
    senders.push(copy);
  }
  return places;
}

/** The handle as the graph takes it. */
function checked(name: string, given: Handle, type: Type | undefined): Handle {
  const handle = isHost(given) ? toDevice(given) : given;
  if (type === undefined) throw new Error(`the graph has no tensor named ${name}`);
  if (type.dtype !== handle.dtype || !sameShape(type.shape, handle.shape))
    throw new Error(`${name} must be ${type.dtype}${show(type.shape)}, but is ${handle.dtype}${show(handle.shape)}`);
  return handle;
}

/** Numbers that are moved by one run: the second copy of them takes at most this, or as much as the largest variable. */
const groupFloats = 2 ** 24;

type Compile = Backend["compile"];

async function allocate(compile: Compile, { variables, trained, optimizer }: Allocation): Promise<State> {
  const byName = new Map(variables.map((variable) => [variable.name, variable]));
  const shapeOf = (name: string) => byName.get(name)!.shape;
  const places = (names: Iterable<string>) =>
    new Map([...names].map((name) => [name, new DeviceTensor(shapeOf(name))]));
  const inOrder = variables.flatMap(({ name }) => (trained.has(name) ? [name] : []));
  const values = places(byName.keys());
  const [gradients, first, second] = [places(inOrder), places(inOrder), places(inOrder)];
  const moments = [
    ...[...first].map(([name, place]) => [`optimizer.m.${name}`, place] as const),
    ...[...second].map(([name, place]) => [`optimizer.v.${name}`, place] as const),
  ];
  const programs = new Map<string, Promise<Executable>>();

  /** A graph that is compiled when it is first needed. */
  const program = (key: string, outputs: () => Readonly<Record<string, Value>>, bound: readonly string[]) => {
    const found = programs.get(key) ?? compile(outputs(), bound);
    programs.set(key, found);
    return found;
  };

  /** Copies from the host, on the device or to the host, a group at a time: one graph for each set of shapes. */
  async function pass(
    sources: ReadonlyMap<string, Handle>,
    targets?: ReadonlyMap<string, DeviceTensor>,
  ): Promise<Map<string, Tensor<"float32">>> {
    const found = new Map<string, Tensor<"float32">>();
    for (const group of groupsOf([...sources], ([, { shape }]) => sizeOf(shape))) {
      const shapes = group.map(([, { shape }]) => shape);
      const outputs = () =>
        Object.fromEntries(shapes.map((shape, i) => [`to${i}`, op.input(`from${i}`, "float32", shape)]));
      const bound = targets === undefined ? [] : shapes.map((_, i) => `to${i}`);
      const copy = await program(`pass ${bound.length} ${shapes.map(show).join()}`, outputs, bound);
      if (targets !== undefined)
        copy.bind({ outputs: Object.fromEntries(group.map(([name], i) => [`to${i}`, viewOf(targets.get(name)!)])) });
      const results = await copy.run(Object.fromEntries(group.map(([, handle], i) => [`from${i}`, handle])));
      if (targets === undefined)
        for (const [i, [name]] of group.entries()) found.set(name, results[`to${i}`] as Tensor<"float32">);
    }
    return found;
  }

  const zeros = new Map<string, RuntimeTensor>();
  /** Zeros of a shape, which all that are zero share. */
  async function zeroOf(shape: Shape): Promise<RuntimeTensor> {
    const key = show(shape);
    if (!zeros.has(key)) {
      const place = new DeviceTensor(shape);
      await pass(new Map([["zero", tensor("float32", shape)]]), new Map([["zero", place]]));
      zeros.set(key, place.as(shape));
    }
    return zeros.get(key)!;
  }
  async function zero(list: Iterable<DeviceTensor>) {
    for (const place of list) place.replace(await zeroOf(place.shape), true);
  }

  const everything = new Map<string, DeviceTensor>([...values, ...moments]);
  await zero([...everything.values(), ...gradients.values()]);
  const views = (list: ReadonlyMap<string, DeviceTensor>) =>
    new Map([...list].map(([name, place]) => [name, viewOf(place)] as const));

  return {
    variables: byName,
    trained,
    read: ({ moments: all = false } = {}) => pass(views(all ? everything : values)),
    async write(given) {
      const used = [...given].filter(([name]) => everything.has(name));
      for (const [name, source] of used) {
        const { shape } = everything.get(name)!;
        if (source.dtype !== "float32" || !sameShape(source.shape, shape))
          throw new Error(
            `${name} has the shape ${show(shape)} here, but ${source.dtype}${show(source.shape)} in the checkpoint`,
          );
      }
      await pass(new Map(used), everything);
      return [...everything.keys()].filter((name) => given.has(name));
    },
    readGradients: () => pass(views(gradients)),
    writeGradients: async (given) => void (await pass(given, gradients)),
    handle(name, what = "value", shape?: Shape) {
      const place = (what === "value" ? values : gradients).get(name);
      if (place === undefined) throw new Error(`the state has no ${what} of ${name}`);
      return viewOf(place, shape);
    },
    zeroGradients: () => zero(gradients.values()),
    async gradientNorm() {
      let squares = 0;
      for (const [i, group] of groupsOf([...gradients], ([, { shape }]) => sizeOf(shape)).entries()) {
        const norm = await program(`norm ${i}`, () => ({ squares: sumOfSquares(group) }), []);
        norm.bind({ inputs: Object.fromEntries(group.map(([name, place]) => [name, viewOf(place)])) });
        squares += Number((await norm.run())["squares"]!.data[0]);
      }
      return Math.sqrt(squares);
    },
    async update({ step, rate, scale, treatments }) {
      const { betas } = optimizer;
      const scalars = {
        rate,
        stepSize: rate / (1 - betas[0] ** step),
        root: 1 / Math.sqrt(1 - betas[1] ** step),
        scale,
      };
      for (const [i, names] of groupsOf(inOrder, (name) => sizeOf(shapeOf(name))).entries()) {
        const outputs = () =>
          adamw(
            names.map((name) => byName.get(name)!),
            optimizer,
            treatments,
          );
        const bound = names.flatMap((name) => [`w.${name}`, `m.${name}`, `v.${name}`]);
        const move = await program(`adamw ${i}`, outputs, bound);
        const own = Object.fromEntries(
          names.flatMap((name) => [
            [`w.${name}`, viewOf(values.get(name)!)],
            [`m.${name}`, viewOf(first.get(name)!)],
            [`v.${name}`, viewOf(second.get(name)!)],
          ]),
        );
        const sums = Object.fromEntries(names.map((name) => [`g.${name}`, viewOf(gradients.get(name)!)]));
        move.bind({ inputs: prefixed("from.", { ...own, ...sums }), outputs: own });
        await move.run(prefixed("at.", scalarTensors(scalars)));
      }
      await zero(gradients.values());
    },
    async copy(pairs) {
      const sources = pairs.map(({ source, target }) => [target, viewOf(values.get(source)!)] as const);
      await pass(new Map(sources), values);
    },
    async average(pairs, momentum) {
      for (const [i, group] of groupsOf(pairs, ({ target }) => sizeOf(shapeOf(target))).entries()) {
        const outputs = () => averages(group, shapeOf);
        const move = await program(
          `average ${i} ${group[0]!.target}`,
          outputs,
          group.map(({ target }) => target),
        );
        const handles = group.flatMap(({ source, target }) => [
          [`source.${target}`, viewOf(values.get(source)!)] as const,
          [`target.${target}`, viewOf(values.get(target)!)] as const,
        ]);
        const targets = group.map(({ target }) => [target, viewOf(values.get(target)!)] as const);
        move.bind({ inputs: Object.fromEntries(handles), outputs: Object.fromEntries(targets) });
        await move.run(prefixed("at.", scalarTensors({ keep: momentum, take: 1 - momentum })));
      }
    },
    async release() {
      for (const place of [...everything.values(), ...gradients.values()]) place.free();
      for (const value of zeros.values()) value.dispose();
      for (const each of programs.values()) await (await each).release();
    },
  };
}

function viewOf(place: DeviceTensor, shape: Shape = place.shape): View {
  if (sizeOf(shape) !== sizeOf(place.shape))
    throw new Error(`shape ${show(shape)} needs ${sizeOf(shape)} elements, but the data has ${sizeOf(place.shape)}`);
  return { dtype: place.dtype, shape, place };
}

/** Consecutive items of up to `groupFloats` numbers together, or one that has more. */
function groupsOf<T>(items: readonly T[], sizeOfItem: (item: T) => number): T[][] {
  const groups: T[][] = [];
  let room = 0;
  for (const item of items) {
    const size = sizeOfItem(item);
    if (size > room || groups.length === 0) {
      groups.push([]);
      room = groupFloats;
    }
    groups.at(-1)!.push(item);
    room -= size;
  }
  return groups;
}

function sumOfSquares(places: readonly (readonly [string, DeviceTensor])[]): Value {
  const sums = places.map(([name, { shape }]) => {
    const x = op.input(name, "float32", shape);
    const squares = op.mul(x, x);
    return op.reduceSum(shape.length > 1 ? op.reduceSum(squares, { axis: -1 }) : squares); // rows first: see docs
  });
  return sums.reduce((sum, each) => op.add(sum, each));
}

/** AdamW as in `assembly/optimizer.ts`: its scalars are computed in double precision and rounded once. */
function adamw(
  variables: readonly { readonly name: string; readonly shape: Shape }[],
  { betas: [beta1, beta2], epsilon, weightDecay }: Allocation["optimizer"],
  treatments: Update["treatments"],
): Record<string, Value> {
  const scalar = (name: string) => op.input(`at.${name}`, "float32", []);
  const [rate, stepSize, root, scale] = ["rate", "stepSize", "root", "scale"].map(scalar) as [
    Value,
    Value,
    Value,
    Value,
  ];
  const moved = variables.flatMap(({ name, shape }) => {
    const { rate: factor, decay } = treatments.get(name)!;
    const [w, g, m, v] = ["w", "g", "m", "v"].map((each) => op.input(`from.${each}.${name}`, "float32", shape)) as [
      Value,
      Value,
      Value,
      Value,
    ];
    const gradient = op.mul(g, scale);
    const first = op.add(op.mul(m, beta1), op.mul(gradient, 1 - beta1));
    const second = op.add(op.mul(v, beta2), op.mul(op.mul(gradient, gradient), 1 - beta2));
    const step = op.div(op.mul(first, op.mul(stepSize, factor)), op.add(op.mul(op.sqrt(second), root), epsilon));
    const kept = decay && weightDecay !== 0 ? op.mul(w, op.sub(1, op.mul(rate, factor * weightDecay))) : w;
    return [
      [`w.${name}`, op.sub(kept, step)],
      [`m.${name}`, first],
      [`v.${name}`, second],
    ] as const;
  });
  return Object.fromEntries(moved);
}

function averages(pairs: readonly Pair[], shapeOf: (name: string) => Shape): Record<string, Value> {
  const [keep, take] = [op.input("at.keep", "float32", []), op.input("at.take", "float32", [])];
  const moved = pairs.map(({ target }) => {
    const [slow, fast] = ["target", "source"].map((each) => op.input(`${each}.${target}`, "float32", shapeOf(target)));
    return [target, op.add(op.mul(slow!, keep), op.mul(fast!, take))] as const;
  });
  return Object.fromEntries(moved);
}

function scalarTensors(values: Readonly<Record<string, number>>): Record<string, Tensor> {
  const found = Object.entries(values).map(([name, x]) => [name, tensor("float32", [], Float32Array.of(x))] as const);
  return Object.fromEntries(found);
}

function prefixed<T>(prefix: string, values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}
