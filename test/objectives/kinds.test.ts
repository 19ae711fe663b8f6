import { describe, expect, it } from "vitest";
import * as op from "../../src/graph/ops/index.ts";
import { Scope } from "../../src/nn/scope.ts";
import { backbonePattern } from "../../src/nn/vit.ts";
import {
  clNames,
  createObjective,
  familyOf,
  lossesIn,
  mimNames,
  type ObjectiveInput,
  objectiveSchema,
  takes,
} from "../../src/objectives/kinds.ts";
import type { Objective } from "../../src/objectives/objective.ts";
import { model } from "./tiny.ts";

const heads = { mlpDim: 32, dim: 16 };
const decoder = { decoderWidth: 16, decoderDepth: 1, decoderHeads: 2 };
const anchor = { l1Anchor: { weight: 1e-5, blocks: 1 } };
const specOf = (input: ObjectiveInput) => objectiveSchema.parse(input);
const create = (input: ObjectiveInput) => createObjective(model, specOf(input));

/** Names of all that the objective trains, copies and moves. */
function namesOf(objective: Objective): string[] {
  const scope = new Scope();
  const batch = Object.entries(objective.fields).map(([name, shape]) => [
    name,
    op.input(name, "float32", [4, ...shape]),
  ]);
  objective.loss(scope, objective.encode(scope, Object.fromEntries(batch), {}), {});
  return [...scope.variables.values()].flatMap(({ name, role }) => (role === "buffer" ? [] : [name]));
}

// 16 patches and a class token
it.each<[ObjectiveInput, Partial<Objective>]>([
  [
    { kind: "mae", ...decoder },
    { encoder: "", coupled: false, tokens: 5 },
  ],
  [{ kind: "mae", ...decoder, maskRatio: 0.5 }, { tokens: 9 }],
  [{ kind: "simmim" }, { encoder: "", coupled: false, tokens: 17 }],
  [
    { kind: "mocov3", ...heads },
    { encoder: "base_encoder.", coupled: true, tokens: 34 },
  ],
  [{ kind: "mocov3", ...heads, patchDrop: { ratio: 0.75 } }, { tokens: 10 }],
  [
    { kind: "simclr", ...heads },
    { encoder: "base_encoder.", tokens: 34 },
  ],
  [
    { kind: "vicreg", ...heads },
    { encoder: "base_encoder.", tokens: 34 },
  ],
  [
    { kind: "joint", mim: { kind: "mae", ...decoder }, cl: { kind: "simclr", ...heads } },
    { encoder: "base_encoder.", coupled: true, tokens: 39 },
  ],
])("%j states its facts", (input, facts) => {
  expect(create(input)).toMatchObject(facts);
});

describe.each<[string, ObjectiveInput, string[]]>([
  ["mae", { kind: "mae", ...decoder }, ["decoder_blocks.0.norm1.weight", "decoder_pos_embed", "mask_token"]],
  ["simmim", { kind: "simmim" }, ["decoder.bias", "decoder.weight", "mask_token"]],
  ["mocov3", { kind: "mocov3", ...heads, ...anchor }, []],
  ["simclr", { kind: "simclr", ...heads }, []],
  ["vicreg", { kind: "vicreg", ...heads }, []],
  [
    "joint",
    { kind: "joint", mim: { kind: "simmim" }, cl: { kind: "mocov3", ...heads } },
    ["decoder.bias", "decoder.weight", "mask_token"],
  ],
])("the parameters of %s", (_, input, some) => {
  const objective = create(input);
  const names = namesOf(objective);
  const backbone = new RegExp(backbonePattern(objective.encoder));
  const decoderNames = names.filter((name) => objective.decoder?.test(name));

  it("are the backbone's, the decoder's, or others, and never two of them", () => {
    expect(decoderNames.filter((name) => backbone.test(name))).toEqual([]);
    // 2 blocks of 12 tensors; class token, positions, projection and norm
    expect(names.filter((name) => backbone.test(name))).toHaveLength(2 * 12 + 2 + 2 + 2);
  });
  it("are the decoder's where there is one", () => {
    expect(decoderNames).toEqual(expect.arrayContaining(some));
    if (some.length === 0) expect(decoderNames).toEqual([]);
  });
});

it("tells a checkpoint of MAE what its decoder is, and of a joint stage nothing", () => {
  const mae = { kind: "mae", ...decoder } as const;
  expect(create(mae).metadata).toEqual({ decoder: JSON.stringify(decoder) });
  expect(create({ kind: "joint", mim: mae, cl: { kind: "simclr" } }).metadata).toBeUndefined();
});

it("sorts kinds by family, and an objective into its losses", () => {
  expect([mimNames, clNames]).toEqual([
    ["mae", "simmim"],
    ["mocov3", "simclr", "vicreg"],
  ]);
  const [mim, cl] = [{ kind: "simmim" }, { kind: "simclr", ...anchor }] as const;
  const joint = specOf({ kind: "joint", mim, cl });
  expect([specOf(mim), specOf(cl), joint].map(familyOf)).toEqual(["mim", "cl", "joint"]);
  expect(lossesIn(specOf(mim))).toEqual({ mim: specOf(mim) });
  const free = { cl: { ...specOf(cl), l1Anchor: undefined } };
  expect(lossesIn(specOf(cl))).toEqual(free);
  expect(lossesIn(joint)).toEqual({ mim: specOf(mim), ...free });
});

it("knows what a kind takes", () => {
  expect([takes("mae", "normPix"), takes("simmim", "normPix")]).toEqual([true, false]);
});
