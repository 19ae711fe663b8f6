/** How much computing training takes, by counting: to give recipes equal budgets, not to tell seconds. */
import { sizeOf } from "../tensor/shape.ts";
import { grad } from "../graph/grad.ts";
import { reachable, type Value } from "../graph/value.ts";
import { objectiveOf, type Recipe, type Stage } from "./recipe.ts";
import { trace } from "./gradient.ts";

/**
 * Floating-point operations of a stage per image: those of the matrix products in its step, forward and backward, with two
 * for each multiplication and its addition. Layers that the recipe freezes are counted as if they were trained.
 */
export function imageWork(recipe: Recipe, stage: Stage): number {
  const batch = 2; // the comparison of the images of a larger one costs next to nothing
  const { loss, trainable } = trace(objectiveOf(recipe, stage), batch);
  const gradients = grad(
    loss,
    trainable.map(({ value }) => value),
  ).filter((gradient) => gradient !== undefined);
  return reachable([loss, ...gradients]).reduce((sum, value) => sum + operations(value), 0) / batch;
}

function operations({ op, inputs, attrs, shape }: Value): number {
  if (op.name !== "MatMul" && op.name !== "Gemm") return 0;
  return 2 * sizeOf(shape) * inputs[0]!.shape.at(attrs["transA"] === true ? -2 : -1)!;
}
