/**
 * Objectives that are not ours: a recipe names a file whose default export is an `ObjectiveKind`. Reading such a recipe runs
 * the file. Node loads it in place, so that recipes can be checked without waiting; in a browser there are none.
 */
import * as z from "zod";
import type { Family, ObjectiveKind } from "./objective.ts";

export interface ModuleSpec {
  readonly kind: "module";
  /** The whole path of the file. */
  readonly path: string;
  /** Those of the kind in it, without its own `kind`. */
  readonly options: Readonly<Record<string, unknown>>;
}

const written = z.strictObject({
  kind: z.literal("module"),
  path: z
    .string()
    .min(1)
    .describe("a JavaScript file whose default export is an objective kind; reading the recipe runs it"),
  options: z.record(z.string(), z.unknown()).default({}).describe("those of the kind in the file"),
});

/** A module as an objective of a recipe, of one family where only that is wanted: its options checked and filled in. */
export function moduleSchema(wanted?: Family) {
  return written.transform((spec, context): ModuleSpec => {
    const refuse = (message: string, path: PropertyKey[] = []) =>
      context.addIssue({ code: "custom", message, path, input: spec });
    try {
      const path = absolute(spec.path);
      const kind = loadKind(path);
      if (wanted !== undefined && kind.family !== wanted)
        refuse(`${path} is of the family ${kind.family}; here one of ${wanted} is needed`);
      const checked = kind.schema.safeParse({ kind: nameOf(kind), ...spec.options });
      if (checked.success) {
        const { kind: _, ...options } = checked.data;
        return { kind: "module", path, options };
      }
      for (const issue of checked.error.issues) {
        const known = Object.keys(kind.schema.shape).filter((option) => option !== "kind");
        const unknown = issue.code === "unrecognized_keys" ? issue.keys.map((key) => `"${key}"`).join(", ") : undefined;
        const message =
          unknown === undefined
            ? issue.message
            : `${nameOf(kind)} has no option ${unknown}; available: ${known.join(", ") || "none"}`;
        refuse(message, ["options", ...issue.path]);
      }
    } catch (error) {
      refuse((error as Error).message);
    }
    return z.NEVER;
  });
}

/** The kind in a file, and its options with the name that its schema asks for. */
export function open({ path, options }: ModuleSpec): {
  readonly kind: ObjectiveKind;
  readonly options: { kind: string };
} {
  const kind = loadKind(path);
  return { kind, options: { ...options, kind: nameOf(kind) } };
}

export function nameOf({ schema }: ObjectiveKind): string {
  return schema.shape.kind.value;
}

/** The default export of a module. Throws one sentence when there is no such file or it holds no kind. */
function loadKind(path: string): ObjectiveKind {
  const { existsSync } = node("node:fs");
  if (!existsSync(path)) throw new Error(`there is no file ${path}`);
  let loaded: { readonly default?: unknown };
  try {
    // a module that was loaded once is not read again
    loaded = node("node:module").createRequire(path)(path) as typeof loaded;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === "ERR_REQUIRE_ASYNC_MODULE")
      throw new Error(
        `${path} cannot be loaded: it or a module it imports awaits something at its top level; ` +
          '"layergraft/objective" has what an objective needs, and awaits nothing',
        { cause: error },
      );
    const [first] = message.split("\n", 1);
    const hint = /Cannot find (package|module) 'layergraft/.test(message) ? "; npm install layergraft beside it" : "";
    throw new Error(`${path} cannot be loaded: ${first}${hint}`, { cause: error });
  }
  const found = loaded?.default ?? loaded;
  if (!isKind(found))
    throw new Error(
      `${path} holds no objective kind: its default export must be { schema, family, create }, ` +
        'where schema is a zod object with a literal `kind` and family is "mim" or "cl"',
    );
  return found;
}

/** Ours or another copy of zod may have made the schema, so its parts are looked at and not its class. */
function isKind(value: unknown): value is ObjectiveKind {
  const { schema, family, create } = (value ?? {}) as Partial<Record<keyof ObjectiveKind, unknown>>;
  const { safeParse, shape } = (schema ?? {}) as { safeParse?: unknown; shape?: { kind?: { value?: unknown } } };
  return (
    typeof create === "function" &&
    (family === "mim" || family === "cl") &&
    typeof safeParse === "function" &&
    typeof shape?.kind?.value === "string"
  );
}

function absolute(path: string): string {
  return node("node:path").resolve(path);
}

/** A module of Node, asked for when it is needed: this file is a part of what runs in a browser. */
function node<K extends "node:fs" | "node:module" | "node:path">(name: K): NodeModules[K] {
  const host = (globalThis as { readonly process?: Partial<NodeJS.Process> }).process;
  const found = host?.getBuiltinModule?.(name);
  if (found === undefined)
    throw new Error("an objective in a file of its own can be loaded by Node only, from version 20.19 on");
  return found as unknown as NodeModules[K];
}

interface NodeModules {
  readonly "node:fs": { existsSync(path: string): boolean };
  readonly "node:module": { createRequire(path: string): (path: string) => unknown };
  readonly "node:path": { resolve(path: string): string };
}
