/** What can be said of a recipe on the command line. */
import type { Device } from "../backend/device.ts";
import type { ClName, MimName } from "../objectives/kinds.ts";
import { methods, type Method } from "../methods/methods.ts";
import { paperMethod, paperRecipes } from "../methods/paper.ts";
import type { Schedule } from "../recipe/recipe.ts";
import type { ImageOptions } from "./image-options.ts";
import type { Setting } from "./options.ts";

export interface RecipeOptions extends ImageOptions {
  /** The name of a method, of one of the paper's recipes, or the path of a recipe file. */
  readonly recipe: string;
  readonly model?: string;
  readonly imageSize?: number;
  readonly patchSize?: number;
  readonly epochs?: number;
  readonly batch?: number;
  readonly microBatch?: number | "auto";
  readonly recompute?: boolean;
  readonly learningRate?: number;
  readonly schedule?: Schedule;
  readonly hours?: number;
  readonly seed?: number;
  readonly maxBadShare?: number;
  readonly device?: Device | "auto";
  readonly threads?: number;
  readonly init?: string;
  /** Of the encoder in `init`, where the file cannot tell. */
  readonly heads?: number;
  /** Which encoder of `init`, where its file holds several. */
  readonly encoder?: string;
  readonly set?: readonly Setting[];
  readonly parent?: string;
  readonly mim?: MimName;
  readonly cl?: ClName;
  readonly maskRatio?: number;
  readonly normPix?: boolean;
  readonly temperature?: number;
  readonly momentum?: number;
  readonly patchDrop?: number;
  readonly contrastiveMae?: number;
  readonly rates?: readonly number[];
  readonly layerDecay?: number;
  readonly fixTo?: number;
  readonly freshEnd?: boolean;
  readonly endFrom?: string;
  readonly lazy?: number;
  readonly l1Anchor?: { readonly weight: number; readonly blocks: number };
  readonly knn?: number | false;
}

/** What a method chooses for the images, and a recipe says for itself; a batch can be changed all the same. */
export const sizeOptions = ["model", "imageSize", "patchSize", "epochs", "learningRate", "schedule", "hours"] as const;
/** The same of losses and graft. */
export const methodOptions = [
  ...([
    "parent",
    "mim",
    "cl",
    "maskRatio",
    "normPix",
    "temperature",
    "momentum",
    "patchDrop",
    "contrastiveMae",
  ] as const),
  ...(["rates", "layerDecay", "fixTo", "freshEnd", "endFrom", "lazy", "l1Anchor", "knn"] as const),
] as const;

/** Whether somebody wrote the option; commander sets `--no-…` options to true by itself. */
export function isGiven(options: Partial<RecipeOptions>, name: keyof RecipeOptions): boolean {
  return name === "normPix" ? options.normPix === false : options[name] !== undefined;
}

export const isMethod = (name: string): name is Method => Object.hasOwn(methods, name);
export const isPaper = (name: string): boolean => Object.hasOwn(paperRecipes, name);

/** The method behind the name of a recipe, if it has one. */
export function methodOf(name: string): Method | undefined {
  if (isMethod(name)) return name;
  return isPaper(name) ? paperMethod(name) : undefined;
}

/** `imageSize` → `image-size`. */
export function kebabCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** Without the keys whose value is undefined. */
export function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}
