/**
 * Damaged checkpoints and safetensors files: a value, or an Error of one short sentence that begins with the file's name.
 * A few thousand here; `LAYERGRAFT_FUZZ=300000 npx vitest run dist/test/interop/fuzz.test.js` tries more.
 */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { expect, it, onTestFinished } from "vitest";
import { pythonNames } from "../../src/interop/python-names.ts";
import { Inert, type PickleOptions, readPickle } from "../../src/interop/pickle.ts";
import { openTorchFile, TorchTensor, type TorchValue } from "../../src/interop/torch-file.ts";
import { readStorageId, Storage, torchNames } from "../../src/interop/torch-tensor.ts";
import { openTensorFile, readTensorFile } from "../../src/run/tensor-file.ts";
import { decodeSafetensors, encodeSafetensors } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { fuzz, fuzzCount } from "../fuzz.ts";
import { temporaryFolder } from "../run/temporary.ts";

const [archive, archive2, protocol5, pickles] = [
  "archive-1.13.pth",
  "archive-2.pt",
  "protocol-5.bin",
  "pickles-1.13.pth.tar",
].map((file) => readFileSync(`test/fixtures/torch/${file}`)) as [Buffer, Buffer, Buffer, Buffer];

/** The pickle in an archive: the content of its first entry, whose header is followed by the name and padding. */
function pickleOf(archive: Buffer): Buffer {
  const start = 30 + archive.readUInt16LE(26) + archive.readUInt16LE(28);
  return archive.subarray(start, archive.indexOf("PK\x07\x08", start, "latin1"));
}

const end = (bytes: Buffer) => [Math.max(bytes.length - 3000, 0), bytes.length] as const;

/** Passes on what a reader does, and fails where it throws anything but a plain Error with one short sentence. */
function strict<T>(source: string, read: (bytes: Buffer) => T | Promise<T>) {
  return async (bytes: Buffer) => {
    try {
      return await read(bytes);
    } catch (error) {
      const { message, constructor } = error as Error;
      if (constructor !== Error || !message.startsWith(source) || message.length > source.length + 400)
        throw new Error(`this is no sentence:\n${constructor.name}: ${message}`, { cause: error });
      throw error;
    }
  };
}

/** A file whose content is replaced again and again: ten times as fast as writing it anew. */
function replaceableFile(name: string) {
  const path = join(temporaryFolder(), name);
  const file = openSync(path, "w");
  onTestFinished(() => closeSync(file));
  const replace = (bytes: Uint8Array) => {
    writeSync(file, bytes, 0, bytes.length, 0);
    ftruncateSync(file, bytes.length);
  };
  return { path, replace };
}

function readAll(value: TorchValue): void {
  if (value instanceof TorchTensor) value.read();
  else if (value instanceof Map || Array.isArray(value)) for (const child of value.values()) readAll(child);
}

it("damaged pickles", async () => {
  const names = new Map([...pythonNames, ...torchNames]);
  const persistent: PickleOptions["persistent"] = (id, reading) => {
    const { element, length } = readStorageId(id, reading);
    return element instanceof Inert ? element : new Storage(element, length, () => {});
  };
  const options = { source: "x.pth", names, persistent };
  const outcome = await fuzz({
    name: "pickle",
    originals: [archive, archive2, protocol5].map(pickleOf),
    count: fuzzCount(10_000),
    read: strict("x.pth", (bytes) => readPickle(bytes, options)),
  });
  expect(outcome.values).toBeGreaterThan(0);
  expect(outcome.errors.length).toBeGreaterThan(20);
});

it.each([
  ["archives", [archive, archive2, protocol5], end],
  ["files before PyTorch 1.6", [pickles], undefined],
])("damaged %s", async (name, originals, focus) => {
  const { path, replace } = replaceableFile("x.pth");
  const outcome = await fuzz({
    name,
    originals,
    count: fuzzCount(3_000),
    ...(focus === undefined ? {} : { focus }),
    read: strict(path, async (bytes) => {
      replace(bytes);
      const { root, close } = await openTorchFile(path);
      try {
        readAll(root);
      } finally {
        close();
      }
    }),
  });
  expect(outcome.values).toBeGreaterThan(0);
  expect(outcome.errors.length).toBeGreaterThan(20);
});

it("damaged safetensors files", async () => {
  const { path, replace } = replaceableFile("x.safetensors");
  const tensors = new Map<string, Tensor>([
    ["blocks.0.attn.qkv.weight", tensor("float32", [2, 2])],
    ["index", tensor("int64", [1])],
    ["empty", tensor("float64", [0, 4])],
    ["flags", tensor("bool", [3])],
  ]);
  const original = Buffer.concat(encodeSafetensors(tensors, { kind: "mae", note: 'ä "quoted"' }));
  const outcome = await fuzz({
    name: "safetensors",
    originals: [original],
    count: fuzzCount(4_000),
    read: strict(path, (bytes) => {
      replace(bytes);
      const outcomes = [
        () => decodeSafetensors(bytes, path).tensors,
        () => readTensorFile(path).tensors,
        () => {
          const { tensors, close } = openTensorFile(path);
          try {
            return new Map([...tensors].map(([name, lazy]) => [name, lazy.read()]));
          } finally {
            close();
          }
        },
      ].map((read) => {
        try {
          return read();
        } catch (error) {
          return error;
        }
      });
      expect(outcomes[1]).toEqual(outcomes[0]);
      expect(outcomes[2]).toEqual(outcomes[0]);
      if (outcomes[0] instanceof Error) throw outcomes[0];
    }),
  });
  expect(outcome.values).toBeGreaterThan(0);
  expect(outcome.errors.length).toBeGreaterThan(10);
});
