/** A file of weights from wherever, known by its content: named tensors, and what lies beside them. */
import { closeSync, existsSync, openSync, readSync, statSync } from "node:fs";
import { type LazyTensor, openTensorFile } from "../run/tensor-file.ts";
import { shown } from "../tensor/text.ts";
import { openTorchFile, TorchTensor, type TorchValue } from "./torch-file.ts";

export interface WeightsFile {
  readonly format: "safetensors" | "PyTorch";
  /** By the names in the file, those of the state dict that was chosen. */
  readonly tensors: ReadonlyMap<string, LazyTensor>;
  /** Texts and numbers beside the tensors, such as `arch`, `epoch` and `args.model`; a safetensors file's metadata. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Names of state dicts that were found beside the chosen one. */
  readonly otherStateDicts: readonly string[];
  close(): void;
}

/** Opens a file by what it is, whatever its name ends with. Rejects with one sentence that starts with the path when it holds no weights. */
export async function openWeights(path: string): Promise<WeightsFile> {
  if (!existsSync(path)) throw new Error(`there is no file ${path}`);
  const { start, size } = startOf(path);
  if (isSafetensors(start, size)) {
    const { metadata, tensors, close } = openTensorFile(path);
    try {
      checkNames(path, tensors);
    } catch (error) {
      close();
      throw error;
    }
    return { format: "safetensors", tensors, metadata: new Map(Object.entries(metadata)), otherStateDicts: [], close };
  }
  const text = textIn(start);
  if (text !== undefined) throw new Error(`${path} holds no weights: ${whatTextIs(text)}`);
  const { root, close } = await openTorchFile(path);
  try {
    return { format: "PyTorch", ...stateDict(path, root), close };
  } catch (error) {
    close();
    throw error;
  }
}

/** Where training codes put the state dict, in the order in which they are looked for. */
const stateDictKeys = ["state_dict", "model", "module"] as const;

function stateDict(path: string, root: TorchValue): Omit<WeightsFile, "format" | "close"> {
  if (!(root instanceof Map)) throw new Error(`${path} holds ${whatItIs(root)}, not a state dict`);
  const dicts = [...root].filter(([, value]) => value instanceof Map && tensorsOf(value).size > 0);
  const place = stateDictKeys.find((name) => dicts.some(([key]) => key === name));
  const chosen = place === undefined ? root : (root.get(place) as Map<string | number, TorchValue>);
  const tensors = tensorsOf(chosen);
  if (tensors.size === 0) {
    const keys = [...root.keys()].slice(0, 8).map((key) => shown(String(key)));
    throw new Error(
      `${path} has no state dict: neither ${stateDictKeys.join(", ")} nor the file itself holds tensors by name (it has ${keys.join(", ")})`,
    );
  }
  checkNames(path, tensors);
  const otherStateDicts = dicts
    .map(([key]) => key)
    .filter((key) => key !== place && key !== "optimizer")
    .map((key) => shown(String(key)));
  return { tensors, metadata: place === undefined ? new Map() : metadataOf(root), otherStateDicts };
}

/** Names are shown to people: they must be printable and not endless. */
function checkNames(path: string, tensors: ReadonlyMap<string, unknown>) {
  for (const name of tensors.keys())
    if (name.length > 300 || /[^\x20-\x7e]/.test(name))
      throw new Error(
        `${path} names a tensor ${JSON.stringify(name.slice(0, 60))}; names are up to 300 letters of ASCII`,
      );
}

function tensorsOf(dict: ReadonlyMap<unknown, TorchValue>): Map<string, LazyTensor> {
  const tensors = new Map<string, LazyTensor>();
  for (const [name, value] of dict)
    if (typeof name === "string" && value instanceof TorchTensor) tensors.set(name, value);
  return tensors;
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
  return value instanceof TorchTensor ? "one tensor" : `a ${typeof value}`;
}

function startOf(path: string): { start: Uint8Array; size: number } {
  const { size } = statSync(path);
  if (!statSync(path).isFile()) throw new Error(`${path} is a folder; give the file in it that holds the weights`);
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
