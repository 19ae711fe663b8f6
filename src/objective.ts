/**
 * What it takes to write an objective of one's own, `layergraft/objective`: the contract, and what networks are written
 * with. Nothing here needs Node or a runtime. See examples/custom-objective.ts.
 */
export type { Copy, Family, KindSchema, Loss, Objective, ObjectiveKind, Values } from "./objectives/objective.ts";
/** Features of two views, heads on top of them, and a watch over them. */
export * as heads from "./objectives/heads.ts";
/** Operations on symbolic values; every one has its gradient. */
export * as ops from "./graph/ops/index.ts";
export type { Value } from "./graph/value.ts";
/** Initial values, layers, losses, the Vision Transformer, and the scope that names and collects what they train. */
export * as nn from "./nn/index.ts";
export { Scope } from "./nn/scope.ts";
export type { VitConfig } from "./nn/vit.ts";
/** Numbers as they are, for constants of a graph. */
export { type Tensor, tensor } from "./tensor/tensor.ts";
/** Schemas of options. */
export * as z from "zod";
