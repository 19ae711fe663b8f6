/**
 * A training state that stays on a device from step to step. The runtime cannot write into a tensor that is there already:
 * every run makes new outputs, and then the old ones are freed. What is done to many variables is therefore done to groups
 * of them, so that the second copy is that of a group.
 */
import { sameShape, type Shape, show, sizeOf } from "../tensor/shape.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import type { Allocation, Backend, State } from "./backend.ts";
import { adamw, averages, sumOfSquares } from "./device-graphs.ts";
import { deviceMoves } from "./device-moves.ts";
import { DeviceTensor, groupsOf, viewOf } from "./device-tensor.ts";

type Compile = Backend["compile"];

/** Memory on the device whose graphs `compile` compiles. */
export async function allocateOnDevice(
  compile: Compile,
  { variables, trained, optimizer }: Allocation,
): Promise<State> {
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
  const { program, pass, zero, release } = deviceMoves(compile);

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
    readGradients: (names = trained) => pass(views(new Map([...gradients].filter(([name]) => names.has(name))))),
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
    async update({ step, rate, scale, treatments, names: asked = trained }) {
      const { betas } = optimizer!;
      const scalars = {
        rate,
        stepSize: rate / (1 - betas[0] ** step),
        root: 1 / Math.sqrt(1 - betas[1] ** step),
        scale,
      };
      const moved = inOrder.filter((name) => asked.has(name));
      for (const names of groupsOf(moved, (name) => sizeOf(shapeOf(name)))) {
        const outputs = () =>
          adamw(
            names.map((name) => byName.get(name)!),
            optimizer!,
            treatments,
          );
        const bound = names.flatMap((name) => [`w.${name}`, `m.${name}`, `v.${name}`]);
        const move = await program(`adamw ${names.join()}`, outputs, bound);
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
      await zero(moved.map((name) => gradients.get(name)!));
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
      await release();
    },
  };
}

function scalarTensors(values: Readonly<Record<string, number>>): Record<string, Tensor> {
  const found = Object.entries(values).map(([name, x]) => [name, tensor("float32", [], Float32Array.of(x))] as const);
  return Object.fromEntries(found);
}

function prefixed<T>(prefix: string, values: Readonly<Record<string, T>>): Record<string, T> {
  return Object.fromEntries(Object.entries(values).map(([name, value]) => [prefix + name, value]));
}
