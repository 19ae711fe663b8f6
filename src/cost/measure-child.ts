/** Entry of the process of a measurement, see `apart`. */
import type { Recipe } from "../recipe/recipe.ts";
import { resolveStages } from "../recipe/stage.ts";
import type { Answer } from "./apart.ts";
import { estimate } from "./estimate.ts";
import { rehearseHere, type RehearseOptions } from "./rehearse.ts";

/** A rehearsal with its options, else an estimate of all stages. */
interface Request {
  readonly recipe: Recipe;
  readonly options?: RehearseOptions;
}

process.on("disconnect", () => process.exit()); // nobody is waiting any more
process.once("message", (request: Request) => void answer(request));

async function answer({ recipe, options }: Request) {
  try {
    send({ value: await (options === undefined ? estimate(resolveStages(recipe)) : rehearseHere(recipe, options)) });
  } catch (error) {
    const { message, stack = "" } = error as Error;
    send({ message, stack });
  }
}

function send(message: Answer) {
  process.send!(message, () => process.disconnect());
}
