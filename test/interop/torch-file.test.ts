import { writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { describe, expect, it } from "vitest";
import { PickleObject } from "../../src/interop/pickle.ts";
import { openTorchFile, TorchTensor, type TorchValue } from "../../src/interop/torch-file.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { type Shape, sizeOf } from "../../src/tensor/shape.ts";
import { temporaryFolder } from "../run/temporary.ts";
import * as write from "./torch-writer.ts";

/** Opens a file of these bytes for as long as `use` runs. */
async function opened<T>(bytes: Uint8Array, use: (root: TorchValue) => T): Promise<T> {
  const path = joinPath(temporaryFolder(), "x.pth");
  writeFileSync(path, bytes);
  const { root, close } = await openTorchFile(path);
  try {
    return use(root);
  } finally {
    close();
  }
}

/** Tensors as [dtype, shape, numbers], dictionaries as objects. */
function plain(value: TorchValue): unknown {
  if (value instanceof TorchTensor) {
    const { dtype, shape, data } = value.read();
    expect([value.dtype, value.shape]).toEqual([dtype, shape]);
    return [dtype, shape, Array.from<number | bigint, number>(data, Number)];
  }
  if (value instanceof PickleObject) return `<${value.what}>`;
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, child]) => [key, plain(child)]));
  return Array.isArray(value) ? value.map(plain) : value;
}

/** The numbers of tensor `t` of reference/make_checkpoint_files.py. */
const numbers = (t: number, count: number) =>
  Array.from({ length: count }, (_, i) => (((37 * i + 11 * t) % 101) - 50) / 32);
const tensor = (dtype: DType, shape: Shape, t: number, change: (x: number) => number = (x) => x) => [
  dtype,
  shape,
  numbers(t, sizeOf(shape)).map(change),
];
const truncate = (x: number) => Math.trunc(x) + 0;
const all = (shape: Shape, value: number) => ["float32", shape, Array(sizeOf(shape)).fill(Math.fround(value))];
const shared = numbers(9, 12);
const permuted = Array.from({ length: 24 }, (_, i) => numbers(13, 24)[(i % 6) * 4 + Math.floor(i / 6)]);

describe.each(["archive-1.13.pth", "pickles-1.13.pth.tar", "archive-2.pt", "protocol-5.bin"])("%s", (file) => {
  it("has what was saved", async () => {
    const { root, close } = await openTorchFile(`test/fixtures/torch/${file}`);
    const { optimizer, ...rest } = plain(root) as Record<string, unknown>;
    close();
    expect(rest).toEqual({
      model: { "0.weight": tensor("float32", [2, 3], 0), "0.bias": tensor("float32", [2], 1) },
      tensors: {
        float16: tensor("float32", [5], 2),
        bfloat16: tensor("float32", [5], 3),
        float64: tensor("float64", [3], 4),
        int64: tensor("int64", [3], 5, truncate),
        int32: tensor("int32", [3], 6, truncate),
        int16: tensor("int32", [3], 7, truncate),
        int8: tensor("int32", [3], 8, truncate),
        uint8: tensor("int32", [3], 9, (x) => truncate(Math.abs(x))),
        bool: tensor("bool", [5], 10, (x) => Number(x > 0)),
        special: ["float32", [6], [Infinity, -Infinity, 2 ** -24, -0, 65504, 1365 / 4096]],
        scalar: tensor("float32", [], 11),
        empty: ["float32", [0, 4], []],
        parameter: tensor("float32", [2], 12),
        transposed: ["float32", [3, 4], [0, 1, 2].flatMap((c) => [0, 1, 2, 3].map((r) => shared[3 * r + c]))],
        permuted: ["float32", [4, 2, 3], permuted],
        row: ["float32", [3], shared.slice(6, 9)],
        column: ["float32", [4], [1, 4, 7, 10].map((i) => shared[i])],
        shared: ["float32", [4, 3], shared],
      },
      schedule: { milestones: { 3: 2, 5: 1 } },
      args: {
        lr: 1.5e-4,
        epochs: 800,
        seed: 2 ** 40,
        mask: null,
        pin: true,
        blocks: [1, 2, [3, "ä"]],
        output: "/runs/mae",
        device: "cuda:1",
        dtype: "torch.float16",
        size: [224, 224],
        tags: ["b"],
      },
      counts: { seen: 7 },
      epoch: 12,
      best: 0.75,
      best32: -1.5,
      steps: -3,
      better: true,
      raw: "\x00\xff",
    });
    expect(optimizer).toMatchObject({
      state: { 0: { step: all([], 1), exp_avg: all([2, 3], 0.1) }, 1: { step: all([], 1), exp_avg: all([2], 0.1) } },
      param_groups: [{ lr: 1.5e-4, betas: [0.9, 0.95], amsgrad: false, params: [0, 1] }],
    });
  });
});

it("reads tensors until the file is closed", async () => {
  const { root, close } = await openTorchFile("test/fixtures/torch/archive-2.pt");
  const model = (root as Map<string, Map<string, TorchTensor>>).get("model")!;
  const bias = model.get("0.bias")!;
  const first = bias.read();
  (first.data as Float32Array).fill(0);
  expect([...bias.read().data]).toEqual(numbers(1, 2));
  close();
  close();
  expect(() => bias.read()).toThrow("archive-2.pt was closed before its tensors were read");
});

describe("what others wrote", () => {
  const { call, dict, get, list, name, pickle, put, text, tuple, whole } = write;

  it("texts and pairs of Python 2", async () => {
    const root = call(name("collections", "OrderedDict"), list(list("U\x01a", whole(1)), list("T\x02\0\0\0bc", "N")));
    expect(await opened(write.archive(pickle(root)), plain)).toEqual({ a: 1, bc: null });
  });
  it("storages that belonged to a GPU", async () => {
    const storage = write.storage("k", 2, name("torch.cuda", "HalfStorage"));
    const bytes = write.archive(pickle(write.tensor(storage, [2])), { k: Buffer.of(0, 0x3c, 0, 0xc0) });
    expect(await opened(bytes, plain)).toEqual(["float32", [2], [1, -2]]);
  });
  it("booleans of any bit pattern", async () => {
    const storage = write.storage("0", 3, name("torch", "BoolStorage"));
    const bytes = write.archive(pickle(write.tensor(storage, [3])), { 0: Buffer.of(0, 1, 255) });
    expect(await opened(bytes, plain)).toEqual(["bool", [3], [0, 1, 1]]);
  });
  it("a list that stands in two places", async () => {
    const root = dict({ a: put(3, list(whole(1))), b: get(3), c: tuple(get(3), text("x")) });
    expect(await opened(write.archive(pickle(root)), plain)).toEqual({ a: [1], b: [1], c: [[1], "x"] });
  });
  it("a storage that has more than its tensors use", async () => {
    const data = Buffer.from(Float32Array.of(1, 2, 3, 4, 5, 6).buffer);
    const view = write.tensor(write.storage("0", 6), [2, 2], { offset: 1, strides: [3, 1] });
    const expected = ["float32", [2, 2], [2, 3, 5, 6]];
    expect(await opened(write.archive(pickle(view), { 0: data }), plain)).toEqual(expected);
    expect(await opened(write.pickles(pickle(view), { 0: { length: 6, content: data } }), plain)).toEqual(expected);
  });
});

describe("what is beside tensors stands for itself, and nothing of it is run", () => {
  const { call, dict, join, list, name, pickle, put, get, text, tuple, whole } = write;
  const object = (module: string, type: string) => join(name(module, type), ")\x81");
  const dtype = (code: string) => call(name("numpy", "dtype"), text(code), whole(0), whole(1));
  const numpyArray = join(
    call(name("numpy.core.multiarray", "_reconstruct"), name("numpy", "ndarray"), tuple(whole(0)), text("b")),
    tuple(whole(1), tuple(whole(2)), dtype("f8"), "\x89", text("sixteen bytes ..")),
    "b",
  );

  it.each<[string, readonly (string | Uint8Array)[], unknown]>([
    ["a class", [name("a.b", "C")], "<a.b.C>"],
    ["an object with a state", [object("a", "C"), dict({ x: whole(1) }), "b"], "<a.C>"],
    [
      "a dictionary's subclass",
      [object("yacs.config", "CfgNode"), "(", text("x"), whole(1), "u"],
      "<yacs.config.CfgNode>",
    ],
    ["a list's subclass", [object("a", "List"), "(", whole(1), whole(2), "e", whole(3), "a"], "<a.List>"],
    ["a set's subclass", [object("a", "Set"), "(", whole(1), "\x90"], "<a.Set>"],
    ["an object made with arguments by keyword", [name("a", "C"), ")", dict({ x: "N" }), "\x92"], "<a.C>"],
    [
      "an object of copyreg",
      [call(name("copy_reg", "_reconstructor"), name("a", "C"), name("__builtin__", "object"), "N")],
      "<a.C>",
    ],
    ["a function of __main__", [name("__main__", "main")], "<__main__.main>"],
    ["what a function of it gives", [call(name("__main__", "f"), whole(1))], "<__main__.f>"],
    ["a class that is known", [name("collections", "OrderedDict")], "<collections.OrderedDict>"],
    ["a method", [call(name("builtins", "getattr"), name("a", "C"), text("method"))], "<builtins.getattr>"],
    ["a name of JavaScript", [call(name("__proto__", "constructor"), "N")], "<__proto__.constructor>"],
    ["a name of terminal codes", [name("a\x1b[2J", "b")], "<a\\x1b[2J.b>"],
    ["a dictionary of one that is unknown", [call(name("collections", "OrderedDict"), object("a", "C"))], "<a.C>"],
    [
      "a counter whose keys are tuples",
      [call(name("collections", "Counter"), join("}", tuple(whole(1), whole(2)), whole(3), "s"))],
      { "(other keys)": "<entries whose keys are neither texts nor numbers>" },
    ],
    [
      "keys of other types",
      ["}(N", whole(1), "\x88", whole(2), object("a", "Key"), whole(3), text("x"), whole(4), "u"],
      { "(other keys)": "<entries whose keys are neither texts nor numbers>", x: 4 },
    ],
    ["an array of NumPy", [numpyArray], "<numpy.ndarray>"],
    [
      "a number of NumPy with bytes in another order",
      [
        call(
          name("numpy.core.multiarray", "scalar"),
          join(dtype("f8"), tuple(whole(3), text(">")), "b"),
          text("eight by"),
        ),
      ],
      "<a value of the NumPy type f8>",
    ],
    [
      "a text of NumPy",
      [call(name("numpy.core.multiarray", "scalar"), dtype("U1"), text("a\0\0\0"))],
      "<a value of the NumPy type U1>",
    ],
    ["a type of NumPy", [dtype("O8")], "<the NumPy type O8>"],
    ["bytes of protocol 5", ["\x96", write.uint(8, 2), "\x01\xff"], "\x01\xff"],
    ["a tuple that holds itself in an object", ["(", put(0, object("a", "C")), get(0), "N", "1", get(0)], "<a.C>"],
    ["a state for a list's attributes", [object("a", "C"), object("a", "State"), "b"], "<a.C>"],
  ])("%s", async (_, parts, expected) => {
    expect(await opened(write.archive(pickle(...parts)), plain)).toEqual(expected);
    expect(await opened(write.pickles(pickle(...parts)), plain)).toEqual(expected);
  });

  it("tensors of unknown types, in archives", async () => {
    const complex = write.tensor(write.storage("0", 1, name("torch", "ComplexFloatStorage")), [1]);
    const bytes = write.archive(pickle(list(complex)), { 0: Buffer.alloc(8) });
    expect(await opened(bytes, plain)).toEqual(["<a tensor of torch.ComplexFloatStorage>"]);
    await expect(opened(write.pickles(pickle(list(complex))), plain)).rejects.toThrow(
      /has a storage of torch.ComplexFloatStorage; supported: float32, /,
    );
  });

  it("a history as long as the file", async () => {
    const one = Buffer.alloc(9);
    one[0] = 0x47; // BINFLOAT
    const losses = join("](", Buffer.concat(Array<Buffer>(600_000).fill(one)), "e");
    const root = await opened(write.archive(pickle(losses)), (value) => value);
    expect(root).toHaveLength(600_000);
  });
});
