/** Ways to measure features, and what is seen inside an encoder. */
export { pixelFeatures } from "./encoder.ts";
export type { Evaluator, EvaluatorOptions, LabelledFeatures, Score, Splits } from "./evaluator.ts";
export { cka, type Gram, gram } from "./cka.ts";
export { drawLabels, fewShot, type FewShotOptions, type Shots } from "./few-shot.ts";
export { openInside } from "./inside.ts";
export { knn, type KnnOptions, leaveOneOut } from "./knn.ts";
export { linear, type LinearOptions } from "./linear.ts";
export { augmentedLinearSweep, linearSweep, type SweepOptions } from "./linear-sweep.ts";
export { mapOf } from "./map.ts";
export { neighbours, type Neighbours } from "./neighbours.ts";
export { type Collection, retrieval } from "./retrieval.ts";
export { statistics, type Statistics } from "./statistics.ts";
export { sweepRecipes } from "./sweep-recipe.ts";
