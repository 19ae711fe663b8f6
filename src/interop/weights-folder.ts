/** Models that lie in a folder or in several files, as on the Hugging Face hub. */
import { existsSync, readdirSync, statSync } from "node:fs";
import { basename, dirname, extname, join } from "node:path";
import * as z from "zod";
import { isRunFolder } from "../data/run-marker.ts";
import { readJson } from "../run/json.ts";
import { shown } from "../tensor/text.ts";

/** Names of the hub, the first of which that is there is the model: the others hold the same numbers. */
export const hubNames = [
  "model.safetensors",
  "model.safetensors.index.json",
  "pytorch_model.bin",
  "pytorch_model.bin.index.json",
] as const;

const endings = [".safetensors", ".bin", ".pth", ".pt", ".ckpt", ".tar"];
const isWeights = (name: string) => endings.includes(extname(name).toLowerCase());
/** `model-00001-of-00002.safetensors`. */
const part = /^(.*)-(\d{5})-of-(\d{5})(\.\w+)$/;

/** The file that `path` means: itself, or the one model in a folder. Throws a sentence that starts with the path. */
export function fileOf(path: string): string {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw new Error(`there is no file ${path}`);
  if (!stats.isDirectory()) return refusePart(path);
  const names = readdirSync(path).sort();
  const known = hubNames.find((name) => names.includes(name));
  if (known !== undefined) return join(path, known);
  if (isRunFolder(names)) throw new Error(`${path} is a run folder; give a checkpoint in ${join(path, "checkpoints")}`);
  const indices = names.filter((name) => name.endsWith(".index.json"));
  const found = [...indices, ...names.filter((name) => isWeights(name) && !part.test(name))];
  if (found.length === 1) return join(path, found[0]!);
  if (found.length > 1) {
    const some = found.slice(0, 5).map(shown).join(", ");
    throw new Error(
      `${path} is a folder of ${found.length} files of weights (${some}${found.length > 5 ? ", …" : ""}); give one of them`,
    );
  }
  const first = names.find((name) => isWeights(name) && part.test(name));
  if (first !== undefined) return refusePart(join(path, first));
  throw new Error(
    `${path} is a folder without a file of weights (${endings.join(", ")}); give the file that holds them`,
  );
}

/** A file that is not one of several; with the others it is read through their index. */
function refusePart(path: string): string {
  const [, name, number, count, ending] = part.exec(basename(path)) ?? [];
  if (name === undefined || Number(count) === 1) return path;
  const index = join(dirname(path), `${name}${ending}.index.json`);
  throw new Error(
    `${path} is part ${Number(number)} of a model in ${Number(count)} files: ` +
      (existsSync(index)
        ? `give their index, ${index}`
        : `put all of them and their index, ${basename(index)}, into one folder and give the index`),
  );
}

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** The files that an index names, with the names of their tensors. Throws a sentence that starts with the path. */
export function partsOf(path: string): Map<string, string[]> {
  const parts = new Map<string, string[]>();
  for (const [tensor, file] of Object.entries(readJson(path, indexSchema)?.weight_map ?? {})) {
    if (file !== basename(file) || file === "" || file.endsWith(".index.json"))
      throw new Error(`${path} names the file ${shown(file)}; parts lie beside their index`);
    const whole = join(dirname(path), file);
    if (!parts.has(whole)) parts.set(whole, []);
    parts.get(whole)!.push(tensor);
  }
  if (parts.size === 0) throw new Error(`${path} names no tensors`);
  const missing = [...parts.keys()].filter((file) => !existsSync(file));
  if (missing.length > 0)
    throw new Error(
      `${path} needs ${parts.size} files, of which ${missing.length} ${missing.length === 1 ? "is" : "are"} not beside it: ` +
        `${missing
          .slice(0, 3)
          .map((file) => basename(file))
          .join(", ")}${missing.length > 3 ? ", …" : ""}; get ${missing.length === 1 ? "it" : "them"} too`,
    );
  return parts;
}
