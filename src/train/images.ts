/** The images of a run: from its beginning to its end the same, wherever they lie. */
import type { Source } from "../data/source.ts";
import { kindOf, openSource, type SourceInput, type SourceSpec } from "../data/sources/open.ts";
import { inRange, rangeOf } from "../data/sources/range.ts";
import { sample } from "../data/sources/subset.ts";
import { listCheckpoints } from "../run/checkpoint.ts";
import { messageOf } from "../run/errors.ts";
import { differenceOf, imagesIn, readImages, writeImages } from "../run/images.ts";
import { defineRecipe, type Recipe } from "../recipe/recipe.ts";

/** Keeps with a new run which images it is begun with. Throws as opening them does. */
export async function keepImages(dir: string, recipe: Recipe): Promise<void> {
  writeImages(dir, imagesIn(await sourceOf(recipe)));
}

/**
 * The recipe that the run goes on with: with its images in `data`, if they lie elsewhere now. Throws one sentence where they
 * are not those it was begun with. `tell`: of a run that does not know its images.
 */
export async function withSameImages(
  dir: string,
  saved: Recipe,
  data: SourceInput | undefined,
  tell: (text: string) => void,
): Promise<Recipe> {
  const recipe = data === undefined ? saved : defineRecipe({ ...saved, data: movedTo(saved.data, data) });
  const again = `layergraft pretrain --resume --out ${dir} --data IMAGES`;
  const source = await sourceOf(recipe).catch((error: unknown) => {
    if (data !== undefined) throw error;
    throw new Error(`${messageOf(error)}. If the images of the run lie elsewhere now, say where: ${again}`, {
      cause: error,
    });
  });
  const [begun, found] = [readImages(dir), imagesIn(source)];
  if (begun === undefined) {
    tell("an earlier version began this run and did not keep which images it has: those found now are taken for them");
    writeImages(dir, found);
    return recipe;
  }
  const difference = differenceOf(begun, found, source.name);
  if (difference === undefined) return recipe;
  const weights = listCheckpoints(dir).at(-1)?.path;
  const start = weights === undefined ? "start a new run" : `start a new run from its weights (--init ${weights})`;
  throw new Error(
    `the run in ${dir} was begun with ${difference}: put them back, or ${start}. ` +
      `If they lie elsewhere now, say where: ${again}`,
  );
}

async function sourceOf({ data, limit, seed }: Recipe): Promise<Source> {
  return sample(await openSource(data), limit, seed);
}

/** The images in another place, used as they were: in the same split, reduced to the same size, in the same range. */
function movedTo(before: SourceSpec, data: SourceInput): SourceInput {
  if (data.kind === before.kind) return { ...before, ...data } as SourceInput;
  const shortSide = "shortSide" in before ? before.shortSide : undefined;
  const moved = inRange(data, rangeOf(before));
  return shortSide === undefined ? moved : (kindOf(moved).reduced?.(moved, shortSide) ?? moved);
}
