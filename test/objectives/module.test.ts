/** Objectives in files of their own, as recipes name them. */
import { writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { describe, expect, it, vi } from "vitest";
import { createObjective, familyOf, lossesIn, objectiveSchema } from "../../src/objectives/kinds.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { temporary, tiny, tinyJoint } from "../train/tiny.ts";

import { model } from "./tiny.ts";

const kit = new URL("../../src/objective.js", import.meta.url).href;
const dir = temporary();

/** Writes a module and returns its path. */
function moduleOf(name: string, text: string): string {
  const path = join(dir, name);
  writeFileSync(path, text);
  return path;
}

/** Pulls the class token towards a number: the smallest objective there is. */
const pull = moduleOf(
  "pull.mjs",
  `import { nn, ops, z } from "${kit}";
  export default {
    schema: z.strictObject({ kind: z.literal("pull"), towards: z.number().default(1), strength: z.number().positive().default(2) }),
    family: "mim",
    create: (model, { towards, strength }, encoder = "") => ({
      name: "pull",
      encoder,
      fields: { images: [3, model.imageSize, model.imageSize] },
      tokens: 1 + nn.patchCount(model),
      coupled: false,
      encode: (p, { images }) => ({
        cls: nn.encode(p.under(encoder), model, nn.patches(images, model.patchSize), { lineage: "mae", tokens: "cls" }),
      }),
      loss(_, { cls }) {
        const distance = ops.sub(cls, towards);
        return { loss: ops.mul(ops.reduceMean(ops.mul(distance, distance)), strength) };
      },
    }),
  };`,
);
const spec = (path: string, options?: object) => ({
  kind: "module",
  path,
  ...(options === undefined ? {} : { options }),
});

/** The sentence with which a recipe of this objective is refused. */
function refusal(objective: unknown): string {
  try {
    defineRecipe({ ...tiny(), stages: [{ ...tiny().stages[0]!, objective }] });
    return "";
  } catch (error) {
    return (error as Error).message;
  }
}

it("is a kind like any other, with its defaults filled in", () => {
  const checked = objectiveSchema.parse(spec(pull, { towards: 3 }));
  expect(checked).toEqual({ kind: "module", path: pull, options: { towards: 3, strength: 2 } });
  expect(objectiveSchema.parse(checked)).toEqual(checked);
  expect(createObjective(model, checked)).toMatchObject({ name: "pull", encoder: "", tokens: 17 });
  expect([familyOf(checked), lossesIn(checked)]).toEqual(["mim", { mim: checked }]);
});

it("is found from the working directory, and then by its whole path", () => {
  const checked = objectiveSchema.parse(spec(relative(process.cwd(), pull)));
  expect(checked).toMatchObject({ path: pull });
});

it("shares an encoder with a contrastive loss", () => {
  const { stages } = tinyJoint();
  const stage = stages[0]!;
  const { noise: _, ...views } = stage.views;
  const objective = { ...(stage.objective as { cl: object }), kind: "joint", mim: spec(pull) };
  const recipe = defineRecipe({ ...tinyJoint(), stages: [{ ...stage, objective, views }] });
  const made = createObjective(recipe.model, recipe.stages[0]!.objective);
  expect(made).toMatchObject({ name: "pull with mocov3", encoder: "base_encoder." });
});

describe("one sentence says", () => {
  it.each<[string, unknown, string | RegExp]>([
    ["that there is no file", spec("/nowhere/x.js"), "stages.0.objective: there is no file /nowhere/x.js"],
    [
      "that the file holds no kind",
      spec(moduleOf("none.mjs", "export default { create() {} };")),
      /^this recipe cannot be run: stages\.0\.objective: \S+none\.mjs holds no objective kind: its default export must be [^\n]+$/,
    ],
    [
      "that the file has no default export",
      spec(moduleOf("named.mjs", "export const kind = 1;")),
      "holds no objective kind",
    ],
    [
      "that the file fails",
      spec(moduleOf("fails.mjs", 'throw new Error("no luck\\nat all");')),
      /fails\.mjs cannot be loaded: no luck$/,
    ],
    ["that it is not JavaScript", spec(moduleOf("text.mjs", "not a program")), /text\.mjs cannot be loaded: [^\n]+$/],
    [
      "that the package is not there for it",
      spec(moduleOf("alone.mjs", 'import "layergraft/objective";')),
      /alone\.mjs cannot be loaded: Cannot find package 'layergraft' [^\n]+; npm install layergraft beside it$/,
    ],
    [
      "that it awaits something",
      spec(moduleOf("late.mjs", "await null; export default {};")),
      '"layergraft/objective" has what an objective needs, and awaits nothing',
    ],
    [
      "which options there are",
      spec(pull, { toward: 3 }),
      /stages\.0\.objective\.options: pull has no option "toward"; available: towards, strength$/,
    ],
    ["what is wrong with an option", spec(pull, { strength: -1 }), "stages.0.objective.options.strength: Too small"],
    [
      "that a module has no such key",
      { ...spec(pull), pth: 1 },
      'stages.0.objective has no option "pth" (did you mean "path"?)',
    ],
    [
      "that it is of the other family",
      { kind: "joint", mim: { kind: "mae" }, cl: spec(pull) },
      "stages.0.objective.cl: ",
    ],
    ["which views it needs", spec(pull), "stages.0.views: pull with this model needs the views images [3,16,16], not"],
  ])("%s", (_, objective, message) => {
    expect(refusal(objective)).toMatch(message);
  });

  it("that a browser cannot load one", () => {
    const { getBuiltinModule } = process;
    vi.stubGlobal("process", { ...process, getBuiltinModule: undefined });
    try {
      expect(objectiveSchema.safeParse(spec(pull)).error?.issues.map(({ message }) => message)).toEqual([
        "an objective in a file of its own can be loaded by Node only, from version 20.19 on",
      ]);
    } finally {
      vi.unstubAllGlobals();
    }
    expect(process.getBuiltinModule).toBe(getBuiltinModule);
  });
});
