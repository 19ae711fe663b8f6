/** Files of features: a row of numbers per image with its name, written and read a part at a time. */
import { closeSync, fstatSync, openSync } from "node:fs";
import { extname } from "node:path";
import { messageOf } from "../run/errors.ts";
import { type FeaturesFile, type FeaturesTable, type FeaturesWriter, readBytes } from "./features.ts";
import { createNpy, openNpy } from "./features-npy.ts";
import { createParquet, openParquet } from "./features-parquet.ts";

const formats = { ".parquet": createParquet, ".npy": createNpy };

/** Throws when the name of a file to write has neither ending. */
export function formatOf(path: string): keyof typeof formats {
  const ending = extname(path);
  if (ending === ".parquet" || ending === ".npy") return ending;
  throw new Error(`${path} ends in neither .parquet nor .npy, the files that features are written to`);
}

/** Begins a file of features in the format that the end of its name says. */
export function createFeatures(path: string, table: FeaturesTable): FeaturesWriter {
  return formats[formatOf(path)](path, table);
}

export interface FeaturesOptions {
  /** Of a Parquet file: the column of the features. Default: `feature`, or the only one that can be. */
  readonly column?: string | undefined;
}

/** Opens a file of features in either format. Rejects with one sentence when it is none, or damaged. */
export async function openFeatures(path: string, { column }: FeaturesOptions = {}): Promise<FeaturesFile> {
  const unusable = (error: unknown) =>
    new Error(`${path} cannot be used as features: ${messageOf(error)}`, { cause: error });
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { size } = fstatSync(file);
    const start = Buffer.from(readBytes(file, 0, Math.min(size, 6))).toString("latin1");
    const isNpy = start === "\x93NUMPY";
    if (start.startsWith("PK")) throw new Error("it is an archive, such as .npz: save one array of it with numpy.save");
    if (!start.startsWith("PAR1") && !isNpy) throw new Error("it is neither a Parquet nor a .npy file");
    if (isNpy && column !== undefined) throw new Error("a .npy file has no columns; leave out --column");
    const opened = isNpy ? openNpy(path, file, size) : await openParquet(path, file, size, column);
    return {
      ...opened,
      async *parts() {
        try {
          yield* opened.parts();
        } catch (error) {
          throw unusable(error);
        }
      },
    };
  } catch (error) {
    if (file !== undefined) closeSync(file);
    throw unusable(error);
  }
}
