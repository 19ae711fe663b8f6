/** The direction of the house: a folder imports only from folders above it. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { expect, it } from "vitest";

const order = [
  "tensor",
  "graph",
  "onnx",
  "nn",
  "optim",
  "data",
  "run",
  "dist",
  "objectives",
  "evaluators",
  "train",
  "recipes",
  "interop",
  "report",
  "study",
  "cli",
];
const exempt = ["index.ts", "browser.ts", "webassembly.d.ts"];
const imports = /(?:\b(?:import|export)\b[^"'`;]*?\bfrom\s*|\bimport\s*\(?\s*)["'`]([^"'`]+)["'`]/g;

/** What is wrong with the imports of a file at `path` below src/. */
function violations(path: string, text: string): string[] {
  if (exempt.includes(path)) return [];
  const own = path.split("/")[0]!;
  if (!order.includes(own)) return [`${path} is in no known folder`];
  return [...text.matchAll(imports)].flatMap(([, target]) => {
    const problem = (why: string) => [`${path} imports ${target}: ${why}`];
    if (target!.startsWith("onnxruntime"))
      return path === "onnx/executable.ts" ? [] : problem("only onnx/executable.ts knows the runtime");
    if (target === "koffi") return path === "dist/library.ts" ? [] : problem("only dist/library.ts knows koffi");
    if (!target!.startsWith(".")) return [];
    const found = posix.join(posix.dirname(path), target!);
    const other = found.split("/")[0]!;
    if (found.startsWith("..") || !found.includes("/")) return problem("it is outside the folders");
    if (own === "nn" && other === "onnx") return problem("nn does not know ONNX");
    if (own === "graph" && other === "graph" && /ops\//.test(path) && !/ops\/|value\.ts$/.test(found))
      return problem("operations know each other and Value");
    if (path === "graph/value.ts" && other === "graph") return problem("Value knows no operation");
    return order.indexOf(other) > order.indexOf(own) ? problem(`${own} stands above ${other}`) : [];
  });
}

const files = readdirSync("src", { recursive: true, encoding: "utf8" })
  .filter((path) => path.endsWith(".ts"))
  .map((path) => path.replaceAll("\\", "/"));

it("every import points up", () => {
  expect(files.length).toBeGreaterThan(30);
  expect(files.flatMap((path) => violations(path, readFileSync(`src/${path}`, "utf8")))).toEqual([]);
});

it("reads the imports there are", () => {
  const found = readFileSync("src/onnx/executable.ts", "utf8").matchAll(imports);
  expect([...found].map(([, target]) => target)).toEqual([
    "onnxruntime-node",
    "../tensor/dtype.ts",
    "../tensor/shape.ts",
    "../tensor/tensor.ts",
    "../graph/value.ts",
    "./lower.ts",
  ]);
});

it.each([
  ["nn/vit.ts", 'import { input } from "../graph/ops/index.ts";', 0],
  ["nn/vit.ts", 'import { compile } from "../onnx/executable.ts";', 1],
  ["graph/value.ts", 'import type { Scope } from "../nn/scope.ts";', 1],
  ["graph/value.ts", 'import { add } from "./ops/index.ts";', 1],
  ["graph/ops/matmul.ts", 'import { apply } from "../value.ts";\nimport { add } from "./elementwise.ts";', 0],
  ["graph/ops/matmul.ts", 'import { grad } from "../grad.ts";', 1],
  ["tensor/dtype.ts", 'export * from "../data/source.ts";', 1],
  ["data/loader.ts", 'const { x } = await import("../train/loop.ts");', 1],
  ["data/loader.ts", 'import "../cli/main.ts";', 1],
  ["run/notes.ts", 'import {\n  a,\n  b,\n} from "../data/source.ts";', 0],
  ["run/notes.ts", 'import ort from "onnxruntime-node";', 1],
  ["dist/library.ts", 'const { load } = await import("koffi");', 0],
  ["dist/mpi.ts", 'import { load } from "koffi";', 1],
  ["cli/main.ts", 'import { x } from "../index.ts";', 1],
  ["cli/main.ts", 'import { x } from "../../test/helpers.ts";', 1],
  ["utils/x.ts", "", 1],
  ["index.ts", 'export * from "./cli/main.ts";', 0],
])("%s with %s has %i problems", (path, text, count) => {
  expect(violations(path, text)).toHaveLength(count);
});
