import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { RecipeOptions } from "../../src/cli/recipe-options.ts";
import { namedRecipe } from "../../src/cli/written-recipe.ts";
import { paper, paperRecipes } from "../../src/methods/paper.ts";
import { temporaryFolder } from "../run/temporary.ts";

const options = (recipe: string) => ({ recipe }) as RecipeOptions;

const files = ["folder", "list", "glob", "tar", "zip", "parquet"] as const;
it.each(files)("recipes of the paper and in files reduce the photos of a %s", (kind) => {
  const data = { kind, path: "photos" };
  const [name] = Object.keys(paperRecipes) as [string];
  expect(namedRecipe(data, options(name)).data).toEqual({ ...data, shortSide: 448 });
  const file = join(temporaryFolder(), "recipe.json");
  const { data: _, ...recipe } = paper(name, { data });
  writeFileSync(file, JSON.stringify(recipe));
  expect(namedRecipe(data, options(file)).data).toEqual({ ...data, shortSide: 448 });
  // The size is the recipe's, whatever images it was written for.
  writeFileSync(file, JSON.stringify({ ...recipe, data: { kind: "folder", path: "others", shortSide: 300 } }));
  expect(namedRecipe(data, options(file)).data).toEqual({ ...data, shortSide: 300 });
});

it.each([
  { kind: "cifar", path: "cifar" },
  { kind: "emoji", split: "train" },
] as const)("images of one size are left as they are: $kind", (data) => {
  const [name] = Object.keys(paperRecipes) as [string];
  expect(namedRecipe(data, options(name)).data).toEqual(data);
});
