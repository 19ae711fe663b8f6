/** Everything that networks are written with. */
export * from "./init.ts";
export * from "./layers.ts";
export * from "./losses.ts";
export * from "./scope.ts";
export * from "./vit.ts";
