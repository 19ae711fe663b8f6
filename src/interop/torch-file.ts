/**
 * Reading what torch.save wrote, without Python and without running anything: the zip archive of PyTorch 1.6 and later, and
 * the row of pickles before it. The formats are those of torch/serialization.py.
 */
import { closeSync, fstatSync, openSync } from "node:fs";
import { readExactly } from "../run/tensor-file.ts";
import { shown } from "../tensor/text.ts";
import { describe, Inert, type PickleContext, type PickleValue, readPickle } from "./pickle.ts";
import { pythonNames } from "./python-names.ts";
import { readStorageId, refuseElement, Storage, torchNames, TorchTensor, unreadTensor } from "./torch-tensor.ts";
import { checkTree } from "./tree.ts";
import { type ReadAt, readDirectory } from "./torch-zip.ts";

export { TorchTensor };

/**
 * What a checkpoint holds: OrderedDict and Namespace are maps, tuples are lists, dtypes and devices are texts. An object
 * other than a TorchTensor is not read; it only says what it is.
 */
export type TorchValue = PickleValue;

export interface TorchFile {
  readonly root: TorchValue;
  /** After this no tensor can be read. */
  close(): void;
}

/**
 * Opens a checkpoint (`.pth`, `.pth.tar`, `.pt`, `.bin`). Only its structure is read; tensors follow when asked for.
 * Throws one sentence that begins with the path.
 */
export async function openTorchFile(path: string): Promise<TorchFile> {
  const file = openSync(path, "r");
  let open = true;
  const close = () => {
    if (open) closeSync(file);
    open = false;
  };
  const readAt: ReadAt = (target, position) => {
    if (!open) throw new Error(`${path} was closed before its tensors were read`);
    readExactly(file, target, target.length, position, path);
  };
  try {
    const stats = fstatSync(file);
    if (!stats.isFile()) throw new Error(`${path} is not a file`);
    const { size } = stats;
    const head = new Uint8Array(Math.min(size, 512));
    readAt(head, 0);
    const begins = (text: string, at = 0) => Buffer.from(head).toString("latin1", at, at + text.length) === text;
    const source = { path, size, readAt };
    if (begins("PK")) return { root: await readArchive(source), close };
    if (begins("\x80")) return { root: readPickles(source), close };
    if (begins("ustar", 257))
      throw new Error(
        `${path} is a tar archive: open its content, or, if PyTorch before 0.1.10 wrote it, save it again with a newer one`,
      );
    const other = otherFiles.find(([start]) => begins(start))?.[1];
    if (other !== undefined) throw new Error(`${path} is ${other}`);
    const first = shown(new TextDecoder().decode(head.subarray(0, 20)));
    throw new Error(`${path} is not a file of torch.save: it ${size === 0 ? "is empty" : `begins with "${first}"`}`);
  } catch (error) {
    close();
    throw error;
  }
}

/** Files of other kinds that people have in hand, by how they begin. */
const otherFiles = [
  ["\x1f\x8b", "compressed with gzip: unpack it first"],
  ["BZh", "compressed with bzip2: unpack it first"],
  ["\xfd7zXZ", "compressed with xz: unpack it first"],
  ["\x28\xb5\x2f\xfd", "compressed with Zstandard: unpack it first"],
  ["\x89HDF", "an HDF5 file, as Keras and TensorFlow write, and not a checkpoint of PyTorch"],
  ["GGUF", "a GGUF file, of which the numbers are quantised: get the model's safetensors"],
  ["\x93NUMPY", "an array of NumPy, not a checkpoint"],
] as const;

interface Source {
  readonly path: string;
  readonly size: number;
  readonly readAt: ReadAt;
}

/** Pickles have some hundred kilobytes, since the numbers of tensors are not in them; a long history has some megabytes. */
const largestPickle = 2 ** 27;

/** A zip archive: `data.pkl`, and the bytes of storage N as `data/N`. */
async function readArchive({ path, size, readAt }: Source): Promise<TorchValue> {
  const fail = (why: string) => new Error(`${path} ${why}`);
  const entries = await readDirectory(path, size, readAt);
  if (entries.has("constants.pkl"))
    throw fail("is a TorchScript archive, a program and not a checkpoint: save the state_dict of the module instead");
  for (const { packed } of entries.values())
    if (packed) throw fail("has compressed or encrypted entries, which torch.save never writes");
  const content = (name: string) => {
    const { start, length } = entries.get(name)!;
    if (length > largestPickle) throw fail(`has an entry ${name} of ${length} bytes, more than any checkpoint's`);
    const bytes = new Uint8Array(length);
    readAt(bytes, start);
    return bytes;
  };
  if (!entries.has("data.pkl") && [...entries.keys()].some((name) => name.endsWith(".npy")))
    throw fail(
      "is an archive of NumPy arrays (.npz), as codes for JAX write, and not a checkpoint of PyTorch: load it in Python (timm can) and save the model's state_dict()",
    );
  if (!entries.has("data.pkl")) throw fail("is a zip archive without data.pkl, so torch.save did not write it");
  if (entries.has("byteorder") && new TextDecoder().decode(content("byteorder")) !== "little")
    throw fail("was written on a big-endian machine; only little-endian numbers can be read");

  const persistent = storages((key, bytes) => {
    const extent = entries.get(`data/${key}`);
    if (extent === undefined) throw fail(`has no entry for storage ${shown(key)}`);
    if (bytes > extent.length)
      throw fail(`needs ${bytes} bytes for storage ${shown(key)}, but its entry has ${extent.length}`);
    return (target, offset) => readAt(target, extent.start + offset);
  }, unreadTensor);
  const { value } = readPickle(content("data.pkl"), { source: path, names, persistent });
  return checkRoot(value, fail, size);
}

/** Numbers that begin every file of PyTorch before 1.6. */
const magic = Number(0x1950a86a20f9469cfc6cn);
const protocol = 1001;

/** Five pickles (magic number, version, machine, content, keys of storages), then each storage: its length, its bytes. */
function readPickles({ path, size, readAt }: Source): TorchValue {
  const fail = (why: string) => new Error(`${path} ${why}`);
  const head = new Uint8Array(Math.min(size, largestPickle));
  readAt(head, 0);
  let at = 0;
  const next = (options: { persistent?: (id: PickleValue, context: PickleContext) => PickleValue } = {}) => {
    const { value, end } = readPickle(head, { source: path, names, ...options }, at);
    at = end;
    return value;
  };
  if (next() !== magic || next() !== protocol)
    throw fail("is a pickle, but not one of torch.save: it does not begin with PyTorch's magic number and version");
  const machine = next();
  if (!(machine instanceof Map) || machine.get("little_endian") !== true)
    throw fail("was not written on a little-endian machine; only little-endian numbers can be read");

  /** Where the bytes of a storage begin, known after the last pickle. */
  const starts = new Map<string, number>();
  const lengths = new Map<string, { length: number; bytes: number }>();
  const root = next({
    persistent: storages((key, bytes, length) => {
      lengths.set(key, { length, bytes });
      return (target, offset) => readAt(target, starts.get(key)! + offset);
    }, refuseElement), // whose size, and so the place of all that follow, is unknown
  });
  const keys = next();
  if (!Array.isArray(keys)) throw fail("has no list of its storages");
  const field = new Uint8Array(8);
  for (const key of keys) {
    const storage = typeof key === "string" ? lengths.get(key) : undefined;
    if (storage === undefined || starts.has(key as string))
      throw fail(`lists the storage ${describe(key)}, which no tensor uses or which it lists twice`);
    if (at + 8 + storage.bytes > size)
      throw fail(
        `needs ${storage.bytes} bytes for storage ${describe(key)} after byte ${at + 8}, but has ${size} in all`,
      );
    readAt(field, at);
    const length = new DataView(field.buffer).getBigInt64(0, true);
    if (length !== BigInt(storage.length))
      throw fail(`has ${length} elements in storage ${describe(key)}, not ${storage.length}`);
    starts.set(key as string, at + 8);
    at += 8 + storage.bytes;
  }
  for (const key of lengths.keys()) if (!starts.has(key)) throw fail(`lacks the data of storage ${shown(key)}`);
  return checkRoot(root, fail, size);
}

const names = new Map([...pythonNames, ...torchNames]);

/**
 * Makes of persistent ids storages, one for each key. `locate` says how to read one that has so many bytes; `unread` what
 * stands for one whose numbers are of an unknown type.
 */
function storages(
  locate: (key: string, bytes: number, length: number) => Storage["read"],
  unread: (element: Inert, context: PickleContext) => Inert,
) {
  const found = new Map<string, Storage>();
  return (id: PickleValue, context: PickleContext): Storage | Inert => {
    const { element, key, length } = readStorageId(id, context);
    if (element instanceof Inert) return unread(element, context);
    const storage = found.get(key) ?? new Storage(element, length, locate(key, length * element.bytes, length));
    if (storage.element !== element || storage.length !== length)
      throw context.fail(`describes storage ${shown(key)} in two ways`);
    found.set(key, storage);
    return storage;
  };
}

/** Sharing is fine (tied weights, a model and its average); what is beyond this is an attack on whoever reads it all. */
function checkRoot(root: PickleValue, fail: (why: string) => Error, size: number): TorchValue {
  checkTree(root, {
    bytesOf: (object) => (object instanceof TorchTensor ? object.bytes : 0),
    limits: { values: 1_000_000 + size, bytes: 16 * size },
    fail,
  });
  return root;
}
