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

/** Opens a file of features in either format. Rejects with one sentence when it is none, or damaged. */
export async function openFeatures(path: string): Promise<FeaturesFile> {
  const unusable = (error: unknown) =>
    new Error(`${path} cannot be used as features: ${messageOf(error)}`, { cause: error });
  let file: number | undefined;
  try {
    file = openSync(path, "r");
    const { size } = fstatSync(file);
    const start = Buffer.from(readBytes(file, 0, Math.min(size, 6))).toString("latin1");
    if (!start.startsWith("PAR1") && start !== "\x93NUMPY") throw new Error("it is neither a Parquet nor a .npy file");
    const opened = await (start === "\x93NUMPY" ? openNpy : openParquet)(path, file, size);
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
