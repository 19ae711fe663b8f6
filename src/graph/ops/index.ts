export * from "./elementwise.ts";
export * from "./fused.ts";
export * from "./indexing.ts";
export * from "./matmul.ts";
export * from "./movement.ts";
export * from "./reduce.ts";
export * from "./source.ts";
