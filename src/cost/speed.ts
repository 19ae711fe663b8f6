/** How fast this machine trains a recipe: what the time that somebody has is turned into epochs with. */
import type { Recipe } from "../recipe/recipe.ts";
import { resolveStages } from "../recipe/stage.ts";
import { apart } from "./apart.ts";
import { type Estimate, totalSeconds } from "./estimate.ts";
import { stepOperations } from "./work.ts";

/** Operations a second over all stages, from a few steps of each on made-up images, in a process of their own. */
export async function operationsPerSecond(recipe: Recipe): Promise<number> {
  const { stages } = await apart<Estimate>({ recipe }, "the timing of steps");
  const resolved = resolveStages(recipe);
  return stages.reduce((sum, { steps }, i) => sum + steps * stepOperations(resolved[i]!), 0) / totalSeconds(stages);
}
