/** A file of weights from wherever, known by its content: named tensors, and what lies beside them. */
import { closeSync, openSync, readSync, statSync } from "node:fs";
import { type LazyTensor, openTensorFile } from "../run/tensor-file.ts";
import { shown } from "../tensor/text.ts";
import { PickleObject } from "./pickle.ts";
import { openTorchFile, TorchTensor, type TorchValue } from "./torch-file.ts";
import { fileOf, partsOf } from "./weights-folder.ts";

/** A dictionary of tensors in a file: what training codes call a state dict. */
export interface StateDict {
  /** Where it lies in the file: `model`, `teacher`, `classy_state_dict.base_model`; empty where the file itself is one. */
  readonly place: string;
  readonly tensors: ReadonlyMap<string, LazyTensor>;
  /** Entries that are no tensors that can be read, and what they are. */
  readonly unread: ReadonlyMap<string, string>;
}

export interface WeightsFile {
  /** The file that was opened, where a folder was given. */
  readonly path: string;
  /** All files that the tensors are in, an index among them. */
  readonly files: readonly string[];
  readonly format: "safetensors" | "PyTorch";
  /** At least one, in the order in which training codes are looked through for the one to take. */
  readonly stateDicts: readonly StateDict[];
  /** Texts and numbers beside the tensors, such as `arch`, `epoch` and `args.model`; a safetensors file's metadata. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Objects of Python beside the tensors, which mean nothing here: `config (yacs.config.CfgNode)`. */
  readonly notRead: readonly string[];
  close(): void;
}

/**
 * Opens a file by what it is, whatever its name ends with; the index of a model in several files; or a folder with one
 * model. Rejects with one sentence that starts with the path when it holds no weights.
 */
export async function openWeights(given: string): Promise<WeightsFile> {
  const path = fileOf(given);
  return path.endsWith(".index.json") ? openParts(path) : openFile(path);
}

async function openFile(path: string): Promise<WeightsFile> {
  const { start, size } = startOf(path);
  if (isSafetensors(start, size)) {
    const { metadata, tensors, close } = openTensorFile(path);
    const stateDicts = [{ place: "", tensors: unwrapped(tensors), unread: new Map<string, string>() }];
    return {
      path,
      files: [path],
      format: "safetensors",
      stateDicts,
      metadata: new Map(Object.entries(metadata)),
      notRead: [],
      close,
    };
  }
  const text = textIn(start);
  if (text !== undefined) throw new Error(`${path} holds no weights: ${whatTextIs(text)}`);
  const { root, close } = await openTorchFile(path);
  try {
    return { path, files: [path], format: "PyTorch", ...contentOf(path, root), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** The state dict that training codes have trained comes first, and averages of it, such as timm's, after it. */
export const usualPlaces = ["state_dict", "model", "module", ""];

type Container = ReadonlyMap<string | number, TorchValue> | readonly TorchValue[];

/** Models, optimizers and the like may be in a list; longer ones are of something else. */
const mostModels = 100;

/** Dictionaries below this level are no state dicts. VISSL has its four levels deep. */
const mostLevels = 5;

function contentOf(path: string, root: TorchValue): Pick<WeightsFile, "stateDicts" | "metadata" | "notRead"> {
  if (!(root instanceof Map || Array.isArray(root)))
    throw new Error(`${path} holds ${whatItIs(root)}, not a state dict`);
  const stateDicts: StateDict[] = [];
  const look = (dict: Container, place: string, level: number) => {
    if (dict instanceof Map) {
      const { tensors, unread } = entriesOf(dict);
      if (tensors.size > 0) stateDicts.push({ place, tensors, unread });
    }
    if (level < mostLevels && !(Array.isArray(dict) && dict.length > mostModels))
      for (const [key, value] of dict.entries())
        if ((value instanceof Map || Array.isArray(value)) && key !== "optimizer")
          look(value, place === "" ? String(key) : `${place}.${key}`, level + 1);
  };
  look(root, "", 0);
  const notRead = unreadIn(root);
  if (stateDicts.length === 0) {
    const keys = [...root.keys()].slice(0, 8).map((key) => shown(String(key)));
    const what = Array.isArray(root) ? `it is ${whatItIs(root)}` : `it has ${keys.join(", ")}`;
    const objects = notRead.length === 0 ? "" : `; not read: ${notRead.slice(0, 3).join(", ")}`;
    throw new Error(
      `${path} has no state dict: nowhere in it are tensors by name (${what}${objects}). ` +
        "In Python, save model.state_dict()",
    );
  }
  const rank = ({ place }: StateDict) =>
    (usualPlaces.indexOf(place) + usualPlaces.length + 1) % (usualPlaces.length + 1);
  stateDicts.sort((a, b) => rank(a) - rank(b));
  return { stateDicts, metadata: root instanceof Map ? metadataOf(root) : new Map(), notRead };
}

/** What a wrapper of PyTorch puts in front of the names of the module in it: torch.compile, FSDP, checkpointed blocks. */
const wrappers = /(?<![^.])(?:_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module)\./g;

function entriesOf(dict: ReadonlyMap<string | number, TorchValue>): Omit<StateDict, "place"> {
  const tensors = new Map<string, LazyTensor>();
  const unread = new Map<string, string>();
  for (const [key, value] of dict) {
    if (typeof key !== "string") continue;
    if (value instanceof TorchTensor) tensors.set(key, value);
    else if (value instanceof PickleObject) unread.set(key, value.what);
  }
  return { tensors: unwrapped(tensors), unread: unwrapped(unread) };
}

function unwrapped<T>(entries: ReadonlyMap<string, T>): Map<string, T> {
  const plain = (name: string) => name.replace(wrappers, "");
  return new Map([...entries].map(([name, value]) => [entries.has(plain(name)) ? name : plain(name), value]));
}

/** Objects other than tensors, once a kind of them. */
function unreadIn(root: TorchValue): string[] {
  const found = new Map<string, { place: string; count: number }>();
  const keys: (string | number)[] = [];
  const look = (value: TorchValue) => {
    if (value instanceof Map || Array.isArray(value))
      for (const [key, child] of value.entries()) {
        keys.push(key);
        look(child);
        keys.pop();
      }
    else if (value instanceof PickleObject && !(value instanceof TorchTensor)) {
      const same = found.get(value.what);
      if (same === undefined) found.set(value.what, { place: keys.join("."), count: 1 });
      else same.count++;
    }
  };
  look(root);
  return [...found].map(
    ([what, { place, count }]) => `${shown(place)} (${what}${count === 1 ? "" : `, and ${count - 1} more of it`})`,
  );
}

/** Names are shown to people: they must be printable and not endless. */
export function checkNames(path: string, tensors: ReadonlyMap<string, unknown>) {
  for (const name of tensors.keys())
    if (name.length > 300 || /[^\x20-\x7e]/.test(name))
      throw new Error(
        `${path} names a tensor ${JSON.stringify(name.slice(0, 60))}; names are up to 300 letters of ASCII`,
      );
}

/** A model in several files, by the index that names the file of every tensor. */
async function openParts(path: string): Promise<WeightsFile> {
  const opened = new Map<string, WeightsFile>();
  const close = () => opened.forEach((part) => part.close());
  try {
    const tensors = new Map<string, LazyTensor>();
    for (const [file, names] of partsOf(path)) {
      const part = await openFile(file);
      opened.set(file, part);
      for (const name of names) {
        const plain = name.replace(wrappers, "");
        const holder = part.stateDicts.find(({ tensors }) => tensors.has(name) || tensors.has(plain));
        const tensor = holder?.tensors.get(name) ?? holder?.tensors.get(plain);
        if (tensor === undefined)
          throw new Error(`${path} says that ${shown(name)} is in ${file}, which has no such tensor`);
        tensors.set(name, tensor);
      }
    }
    const [first] = opened.values();
    const { format, metadata } = first!;
    const stateDicts = [{ place: "", tensors: unwrapped(tensors), unread: new Map<string, string>() }];
    return { path, files: [path, ...opened.keys()], format, stateDicts, metadata, notRead: [], close };
  } catch (error) {
    close();
    throw error;
  }
}

function metadataOf(root: ReadonlyMap<unknown, TorchValue>, prefix = ""): Map<string, string> {
  const metadata = new Map<string, string>();
  for (const [key, value] of root) {
    if (typeof key !== "string") continue;
    if (typeof value === "string" || typeof value === "number") metadata.set(`${prefix}${key}`, String(value));
    else if (key === "args" && prefix === "" && value instanceof Map)
      for (const [name, text] of metadataOf(value, "args.")) metadata.set(name, text);
  }
  return metadata;
}

function whatItIs(value: TorchValue): string {
  if (value === null) return "nothing";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof TorchTensor) return "one tensor";
  if (value instanceof PickleObject)
    return `a whole object of Python (${value.what}; save its state_dict() instead, in Python)`;
  return `a ${typeof value}`;
}

function startOf(path: string): { start: Uint8Array; size: number } {
  const { size } = statSync(path);
  if (size === 0) throw new Error(`${path} is empty: the download failed, or the disk was full`);
  const bytes = new Uint8Array(512);
  const file = openSync(path, "r");
  try {
    return { start: bytes.subarray(0, readSync(file, bytes)), size };
  } finally {
    closeSync(file);
  }
}

/** Eight bytes of length that a file may have, then JSON. A file that was cut off is one still, and its reader says so. */
function isSafetensors(start: Uint8Array, size: number): boolean {
  if (start.length < 10 || start[8] !== 0x7b) return false;
  const length = new DataView(start.buffer, start.byteOffset).getBigUint64(0, true);
  return length < 2n ** 40n || length < BigInt(size);
}

/** The start of a file as text, or undefined where it has bytes that text has not. */
function textIn(start: Uint8Array): string | undefined {
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(start, { stream: true });
    // oxlint-disable-next-line no-control-regex
    return /[^\t\n\f\r\u0020-\uffff]/.test(text) ? undefined : text;
  } catch {
    return undefined;
  }
}

function whatTextIs(text: string): string {
  if (/^\s*<(!doctype|html|\?xml)/i.test(text)) return "it is a web page, so the download failed; fetch it again";
  if (text.startsWith("version https://git-lfs"))
    return "it is a Git LFS pointer in place of a file; fetch the file with git lfs pull";
  return `it is text ("${text.slice(0, 40).split("\n")[0]!.trim()}")`;
}
