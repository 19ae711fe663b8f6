/** The direction of the house: a folder imports only from folders above it, and no files import each other in a circle. */
import { readdirSync, readFileSync } from "node:fs";
import { posix } from "node:path";
import { expect, it } from "vitest";

const order = [
  "tensor",
  "graph",
  "onnx",
  "nn",
  "optim",
  "backend",
  "data",
  "data/formats",
  "data/augmentation",
  "data/sources",
  "data/batches",
  "run",
  "collective",
  "objectives",
  "step",
  "evaluators",
  "recipe",
  "cost",
  "measure",
  "graft",
  "train",
  "methods",
  "interop",
  "report",
  "study",
  "cli",
];
const exempt = ["index.ts", "browser.ts", "objective.ts", "webassembly.d.ts"];
const imports = /(?:\b(?:import|export)\b[^"'`;]*?\bfrom\s*|\bimport\s*\(?\s*)["'`]([^"'`]+)["'`]/g;

/** The folder of the list that a file below src/ is in: `data/sources` of `data/sources/emoji/source.ts`. */
function folderOf(path: string): string | undefined {
  return order.filter((folder) => path.startsWith(`${folder}/`)).sort((a, b) => b.length - a.length)[0];
}

/** What is wrong with the imports of a file at `path` below src/. */
function violations(path: string, text: string): string[] {
  if (exempt.includes(path)) return [];
  const own = folderOf(path);
  if (own === undefined) return [`${path} is in no known folder`];
  return [...text.matchAll(imports)].flatMap(([, target]) => {
    const problem = (why: string) => [`${path} imports ${target}: ${why}`];
    if (target!.startsWith("onnxruntime"))
      return path === "backend/executable.ts" ? [] : problem("only backend/executable.ts knows the runtime");
    if (target === "koffi")
      return path === "collective/library.ts" ? [] : problem("only collective/library.ts knows koffi");
    if (!target!.startsWith(".")) return [];
    const found = posix.join(posix.dirname(path), target!);
    const other = folderOf(found);
    if (other === undefined) return problem("it is outside the folders");
    if (found === "backend/memory.ts" && path !== "backend/cpu.ts")
      return problem("only the CPU's backend knows its memory and kernels");
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

/** Files that import each other, directly or by way of others, types included; each group of them once. */
function circles(imported: ReadonlyMap<string, readonly string[]>): string[][] {
  const reaches = (from: string) => {
    const seen = new Set<string>();
    const next = [from];
    while (next.length > 0)
      for (const target of imported.get(next.pop()!) ?? [])
        if (!seen.has(target)) {
          seen.add(target);
          next.push(target);
        }
    return seen;
  };
  const reached = new Map([...imported.keys()].map((path) => [path, reaches(path)]));
  const groups = [...reached].flatMap(([path, found]) =>
    found.has(path) ? [[...found].filter((other) => reached.get(other)?.has(path)).sort()] : [],
  );
  return groups.filter(([first], i) => groups.findIndex(([other]) => other === first) === i);
}

function importsOf(path: string, text: string): string[] {
  const targets = [...text.matchAll(imports)].map(([, target]) => target!).filter((target) => target.startsWith("."));
  return targets.map((target) => posix.join(posix.dirname(path), target));
}

it("no files import each other in a circle", () => {
  const imported = new Map(files.map((path) => [path, importsOf(path, readFileSync(`src/${path}`, "utf8"))]));
  expect(circles(imported)).toEqual([]);
});

it("what objectives are written with needs neither Node nor a runtime", () => {
  const reached = new Set(["objective.ts"]);
  const foreign = new Set<string>();
  for (const path of reached) {
    const text = readFileSync(`src/${path}`, "utf8");
    for (const [, target] of text.matchAll(imports))
      if (target!.startsWith(".")) reached.add(posix.join(posix.dirname(path), target!));
      else foreign.add(target!);
    if (path === "objective.ts") reached.add("objectives/kinds.ts");
    expect(text, path).not.toMatch(/^(export const .* = )?await /m);
  }
  expect(reached.size).toBeGreaterThan(20);
  expect([...foreign]).toEqual(["zod"]);
});

it("sees a circle, however long, and nothing else", () => {
  const imported = new Map([
    ["a.ts", ["b.ts"]],
    ["b.ts", ["c.ts", "d.ts"]],
    ["c.ts", ["a.ts"]],
    ["d.ts", []],
    ["e.ts", ["a.ts", "e.ts"]],
  ]);
  expect(circles(imported)).toEqual([["a.ts", "b.ts", "c.ts"], ["e.ts"]]);
  expect(importsOf("data/sources/x.ts", 'import type { A } from "../source.ts";\nimport z from "zod";')).toEqual([
    "data/source.ts",
  ]);
});

it("reads the imports there are", () => {
  const found = readFileSync("src/backend/executable.ts", "utf8").matchAll(imports);
  expect([...found].map(([, target]) => target)).toEqual([
    "onnxruntime-node",
    "./machine.ts",
    "../tensor/dtype.ts",
    "../tensor/shape.ts",
    "../tensor/tensor.ts",
    "../graph/ops/device.ts",
    "../graph/value.ts",
    "../onnx/lower.ts",
    "./backend.ts",
  ]);
});

it.each([
  ["nn/vit.ts", 'import { input } from "../graph/ops/index.ts";', 0],
  ["nn/vit.ts", 'import { lower } from "../onnx/lower.ts";', 1],
  ["nn/vit.ts", 'import { compile } from "../backend/executable.ts";', 1],
  ["graph/value.ts", 'import type { Scope } from "../nn/scope.ts";', 1],
  ["graph/value.ts", 'import { add } from "./ops/index.ts";', 1],
  ["graph/ops/matmul.ts", 'import { apply } from "../value.ts";\nimport { add } from "./elementwise.ts";', 0],
  ["graph/ops/matmul.ts", 'import { grad } from "../grad.ts";', 1],
  ["tensor/dtype.ts", 'export * from "../data/source.ts";', 1],
  ["data/batches/loader.ts", 'const { x } = await import("../../train/loop.ts");', 1],
  ["data/batches/loader.ts", 'import "../../cli/main.ts";', 1],
  ["data/batches/loader.ts", 'import { openSource } from "../sources/open.ts";', 0],
  ["data/formats/decode.ts", 'import { openSource } from "../sources/open.ts";', 1],
  ["data/source.ts", 'import { decode } from "./formats/decode.ts";', 1],
  ["data/sources/emoji/source.ts", 'import type { Source } from "../../source.ts";', 0],
  ["run/notes.ts", 'import {\n  a,\n  b,\n} from "../data/source.ts";', 0],
  ["run/notes.ts", 'import ort from "onnxruntime-node";', 1],
  ["backend/cpu.ts", 'import { allocateBlocks } from "./memory.ts";', 0],
  ["step/step.ts", 'import { allocateBlocks } from "../backend/memory.ts";', 1],
  ["collective/library.ts", 'const { load } = await import("koffi");', 0],
  ["collective/mpi.ts", 'import { load } from "koffi";', 1],
  ["cli/main.ts", 'import { x } from "../index.ts";', 1],
  ["cli/main.ts", 'import { x } from "../../test/helpers.ts";', 1],
  ["utils/x.ts", "", 1],
  ["index.ts", 'export * from "./cli/main.ts";', 0],
])("%s with %s has %i problems", (path, text, count) => {
  expect(violations(path, text)).toHaveLength(count);
});
