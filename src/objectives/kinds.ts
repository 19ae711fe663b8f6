/** The kinds of objectives there are. Whoever adds one adds it to one of the two lists, and to nothing else. */
import * as z from "zod";
import type { VitConfig } from "../nn/vit.ts";
import { jointKind } from "./joint.ts";
import { maeKind } from "./mae.ts";
import { type ModuleSpec, moduleSchema, nameOf, open as openModule } from "./module.ts";
import { mocov3Kind } from "./mocov3.ts";
import type { Family, KindSchema, Objective, ObjectiveKind } from "./objective.ts";
import { simclrKind } from "./simclr.ts";
import { simmimKind } from "./simmim.ts";
import { vicregKind } from "./vicreg.ts";

const mimKinds = [maeKind, simmimKind] as const;
const clKinds = [mocov3Kind, simclrKind, vicregKind] as const;

export const mimSchema = z.discriminatedUnion("kind", [...schemasOf(mimKinds), moduleSchema("mim")]);
export const clSchema = z.discriminatedUnion("kind", [...schemasOf(clKinds), moduleSchema("cl")]);
const kinds = [...mimKinds, ...clKinds, jointKind(mimSchema, clSchema, create)] as const;
export const objectiveSchema = z.discriminatedUnion("kind", [...schemasOf(kinds), moduleSchema()]);

/** An objective as a recipe names it: its kind and all of its options. */
export type ObjectiveSpec = z.infer<typeof objectiveSchema>;
export type MimSpec = z.infer<typeof mimSchema>;
export type ClSpec = z.infer<typeof clSchema>;
/** The same as written down: whatever has a default may be left out. */
export type ObjectiveInput = z.input<typeof objectiveSchema>;
export type MimInput = z.input<typeof mimSchema>;
export type ClInput = z.input<typeof clSchema>;

/** Names of the kinds of either family, for those who choose one. */
export type MimName = (typeof mimKinds)[number]["schema"]["shape"]["kind"]["value"];
export type ClName = (typeof clKinds)[number]["schema"]["shape"]["kind"]["value"];
export const mimNames: readonly MimName[] = mimKinds.map(({ schema }) => schema.shape.kind.value);
export const clNames: readonly ClName[] = clKinds.map(({ schema }) => schema.shape.kind.value);

export function createObjective(model: VitConfig, spec: ObjectiveSpec): Objective {
  return create(model, spec);
}

export function familyOf(spec: ObjectiveSpec): Family {
  return kindOf(spec).kind.family;
}

/** Whether a kind of ours knows an option. */
export function takes(kind: MimName | ClName, option: string): boolean {
  return option in kindOf({ kind }).kind.schema.shape;
}

/** The losses of an objective by family, without an anchor: a joint one has both. */
export function lossesIn(spec: ObjectiveSpec): { readonly mim?: MimSpec; readonly cl?: ClSpec } {
  if (spec.kind === "joint") return { mim: spec.mim, cl: withoutAnchor(spec.cl) };
  return familyOf(spec) === "mim" ? { mim: spec as MimSpec } : { cl: withoutAnchor(spec as ClSpec) };
}

function withoutAnchor(spec: ClSpec): ClSpec {
  return "l1Anchor" in spec ? { ...spec, l1Anchor: undefined } : spec;
}

interface Named {
  readonly kind: string;
}

function create(model: VitConfig, spec: Named, encoder?: string): Objective {
  const { kind, options } = kindOf(spec);
  return kind.create(model, options, encoder);
}

/** The kind that a checked spec names, ours or that of a module, and the options for it. */
function kindOf(spec: Named): { readonly kind: ObjectiveKind; readonly options: Named } {
  if (spec.kind === "module") return openModule(spec as ModuleSpec);
  const all: readonly ObjectiveKind[] = kinds;
  return { kind: all.find((each) => nameOf(each) === spec.kind)!, options: spec };
}

/** The schemas of a list, each with its own type. */
function schemasOf<const K extends readonly { readonly schema: KindSchema }[]>(list: K) {
  return list.map(({ schema }) => schema) as unknown as { readonly [I in keyof K]: K[I]["schema"] };
}
