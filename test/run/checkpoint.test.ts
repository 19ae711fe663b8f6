import { createHash } from "node:crypto";
import {
  openSync,
  closeSync,
  readFileSync,
  truncateSync,
  writeFileSync,
  writeSync,
  copyFileSync,
  readdirSync,
} from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";
import {
  type CheckpointContents,
  latestCheckpoint,
  listCheckpoints,
  pruneCheckpoints,
  readCheckpoint,
  saveCheckpoint,
} from "../../src/run/checkpoint.ts";
import { decodeSafetensors } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { temporaryFolder, temporaryRun } from "./temporary.ts";

const tensors = new Map<string, Tensor>([
  ["blocks.0.norm1.weight", tensor("float32", [3], Float32Array.of(1, -2, Number.NaN))],
  ["mask", tensor("bool", [2], Uint8Array.of(1, 0))],
  ["optimizer.m.blocks.0.norm1.weight", tensor("float32", [3], Float32Array.of(4, 5, 6))],
  ["step", tensor("int64", [], BigInt64Array.of(2n ** 60n))],
  ["empty", tensor("float64", [0, 2])],
]);
const mim: CheckpointContents = { stageIndex: 1, stage: "mim", step: 480, tensors, metadata: { model: "vit-tiny/8" } };

test("what is saved is read, with its metadata and the usual safetensors reader", () => {
  const dir = temporaryRun();
  const { path } = saveCheckpoint(dir, mim);
  expect(basename(path)).toBe("1-mim-00000480.safetensors");
  const read = readCheckpoint(path);
  expect(read.tensors).toEqual(tensors);
  expect(read.metadata).toMatchObject({
    model: "vit-tiny/8",
    stage: "mim",
    stageIndex: "1",
    step: "480",
    final: "false",
  });
  expect(decodeSafetensors(readFileSync(path))).toEqual(read);
});

test("the checksum is the sha256 of the data section", () => {
  const { path } = saveCheckpoint(temporaryRun(), mim);
  const bytes = readFileSync(path);
  const data = bytes.subarray(8 + Number(bytes.readBigUInt64LE()));
  expect(readCheckpoint(path).metadata["sha256"]).toBe(createHash("sha256").update(data).digest("hex"));
});

test("two identical states give identical bytes", () => {
  const paths = [0, 1].map(() => saveCheckpoint(temporaryRun(), mim).path);
  expect(readFileSync(paths[0]!).equals(readFileSync(paths[1]!))).toBe(true);
});

test("tensors can be left out when reading, and the checksum is still verified", () => {
  const { path } = saveCheckpoint(temporaryRun(), mim);
  expect([...readCheckpoint(path, encoderOnly).tensors.keys()].sort()).toEqual(
    ["blocks.0.norm1.weight", "empty", "mask", "step"].sort(),
  );
  flipByte(path, -13);
  expect(() => readCheckpoint(path, encoderOnly)).toThrow("damaged");
});

function encoderOnly(name: string): boolean {
  return !name.startsWith("optimizer.");
}

test("tensors larger than a read's chunk arrive whole", () => {
  const large = Float32Array.from({ length: 3_000_001 }, (_, i) => i);
  const map = new Map([["large", tensor("float32", [large.length], large)]]);
  const { path } = saveCheckpoint(temporaryRun(), { ...mim, tensors: map });
  expect(Buffer.from(readCheckpoint(path).tensors.get("large")!.data.buffer).equals(Buffer.from(large.buffer))).toBe(
    true,
  );
});

test("views on a larger memory are written as they are", () => {
  const data = new Float32Array(new ArrayBuffer(4096), 64, 2);
  data.set([1, 2]);
  const { path } = saveCheckpoint(temporaryRun(), { ...mim, tensors: new Map([["w", tensor("float32", [2], data)]]) });
  expect([...readCheckpoint(path).tensors.get("w")!.data]).toEqual([1, 2]);
});

test("the latest is the last step of the last stage; nothing is found in a fresh run", () => {
  const dir = temporaryRun();
  expect(latestCheckpoint(dir)).toEqual({ checkpoint: undefined, skipped: [] });
  saveCheckpoint(dir, { ...mim, stageIndex: 2, stage: "cl", step: 10 });
  saveCheckpoint(dir, { ...mim, step: 123_456_789 });
  saveCheckpoint(dir, { ...mim, stageIndex: 2, stage: "cl", step: 9 });
  expect(latestCheckpoint(dir).checkpoint).toMatchObject({ stage: "cl", step: 10, final: false });
  expect(listCheckpoints(dir).map(({ step }) => step)).toEqual([123_456_789, 9, 10]);
});

test("damaged checkpoints are passed over, reported and kept", () => {
  const dir = temporaryRun();
  const good = saveCheckpoint(dir, { ...mim, step: 1 });
  const save = (step: number) => saveCheckpoint(dir, { ...mim, step }).path;
  const [flipped, cut, torn] = [save(2), save(3), save(4)];
  flipByte(flipped, -1);
  truncateSync(cut, readFileSync(cut).length - 1);
  truncateSync(torn, 5);
  const garbage = join(dir, "checkpoints", "1-mim-00000005.safetensors");
  writeFileSync(garbage, Buffer.alloc(64, 0xff));
  const { checkpoint, skipped } = latestCheckpoint(dir);
  expect(checkpoint).toEqual(good);
  expect(skipped.map(({ path }) => path)).toEqual([garbage, torn, cut, flipped]);
  for (const { path, reason } of skipped) expect(reason.startsWith(path)).toBe(true);
  expect(readdirSync(join(dir, "checkpoints"))).toHaveLength(5);
});

test("a safetensors file without checksum is not taken for a checkpoint", () => {
  const path = join(temporaryFolder(), "x.safetensors");
  const header = JSON.stringify({ w: { dtype: "F32", shape: [1], data_offsets: [0, 4] } });
  const bytes = Buffer.alloc(12 + header.length);
  bytes.writeBigUInt64LE(BigInt(header.length));
  bytes.write(header, 8);
  writeFileSync(path, bytes);
  expect(() => readCheckpoint(path)).toThrow("has no sha256");
});

test.each([
  [{ w: { dtype: "F8", shape: [1], data_offsets: [0, 4] } }, "its header is wrong at w.dtype"],
  [{ w: { dtype: "F32", shape: [2], data_offsets: [0, 4] } }, "the shape and size of tensor w do not agree"],
  [{ w: { dtype: "F32", shape: [-1], data_offsets: [0, 4] } }, "its header is wrong at w.shape.0"],
  [{ w: { dtype: "F32", shape: [1], data_offsets: [4, 8] } }, "tensor w begins at data byte 4, not at 0"],
  [{ w: { dtype: "F32", shape: [2], data_offsets: [0, 8] } }, "bytes, but has"],
])("header %j is refused", (header, message) => {
  const path = join(temporaryFolder(), "x.safetensors");
  const json = JSON.stringify(header);
  const bytes = Buffer.alloc(12 + json.length);
  bytes.writeBigUInt64LE(BigInt(json.length));
  bytes.write(json, 8);
  writeFileSync(path, bytes);
  expect(() => readCheckpoint(path)).toThrow(message);
});

test("pruning keeps the newest and every stage's final one", () => {
  const dir = temporaryRun();
  for (const step of [10, 20]) saveCheckpoint(dir, { ...mim, step });
  saveCheckpoint(dir, { ...mim, step: 30, final: true });
  for (const step of [10, 20, 30]) saveCheckpoint(dir, { ...mim, stageIndex: 2, stage: "cl", step });
  copyFileSync(listCheckpoints(dir)[0]!.path, join(dir, "checkpoints", "mine.safetensors"));
  expect(pruneCheckpoints(dir, { keep: 2 }).map((path) => basename(path))).toEqual([
    "1-mim-00000010.safetensors",
    "1-mim-00000020.safetensors",
    "2-cl-00000010.safetensors",
  ]);
  expect(readdirSync(join(dir, "checkpoints")).sort()).toEqual([
    "1-mim-00000030.final.safetensors",
    "2-cl-00000020.safetensors",
    "2-cl-00000030.safetensors",
    "mine.safetensors",
  ]);
  expect(() => pruneCheckpoints(dir, { keep: 0 })).toThrow("at least 1");
});

test("a stage name that is no file name is refused", () => {
  expect(() => saveCheckpoint(temporaryRun(), { ...mim, stage: "../x" })).toThrow(`stage name "../x"`);
});

/** Changes one byte, counted from the end when negative. */
function flipByte(path: string, at: number): void {
  const bytes = readFileSync(path);
  const position = at < 0 ? bytes.length + at : at;
  const file = openSync(path, "r+");
  writeSync(file, Uint8Array.of(bytes[position]! ^ 1), 0, 1, position);
  closeSync(file);
}
