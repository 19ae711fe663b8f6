/**
 * What a study trains. Every cell of its table is one training stage: a first stage that several methods share, or the
 * last stage of a method. The design is a function of the options and of what is known so far, so a study that was stopped
 * goes on by asking again.
 */
import type { SourceInput } from "../data/sources/open.ts";
import { method, methods, type Method, type MethodOptions } from "../methods/methods.ts";
import { defineRecipe, type RecipeInput } from "../recipe/recipe.ts";
import type { ProtocolSettings } from "../measure/protocols/index.ts";
import { imageWork } from "../cost/work.ts";
import { resolveStages } from "../recipe/stage.ts";

export interface StudyOptions {
  /** Data, model and the settings of both stages; their epochs are those of a method with two stages. */
  readonly settings: Omit<MethodOptions, "name" | "description" | "seed" | "parent" | "watch">;
  readonly methods: readonly Method[];
  /** Number of seeds. */
  readonly seeds: number;
  /** Factors on the learning rate of a cell's own stage to choose from. */
  readonly search: readonly number[];
  /** So many images to train on; default: all. */
  readonly limit?: number;
  readonly evaluation: {
    readonly data: SourceInput;
    /** So many labelled images; default: all. */
    readonly limit?: number;
    /** How to fine-tune the encoders of the table as well. It may be added to a study that has ended; default: not at all. */
    readonly fineTune?: NonNullable<ProtocolSettings["fine-tune"]>;
  };
}

/** A row of the table: a method, or the first stage of one, which has spent less. */
export type Entry = Method | "mim-first" | "cl-first";

export interface Cell {
  /** Its folder's name. */
  readonly id: string;
  readonly entry: Entry;
  readonly seed: number;
  /** On the learning rate. */
  readonly factor: number;
  /** The cell whose encoder it starts from. */
  readonly parent?: string;
}

/** What came of a cell: its accuracy on the validation split, or why there is none. */
export type Outcome = { readonly validation: number } | { readonly failed: string };
export type Outcomes = ReadonlyMap<string, Outcome>;

interface Kind {
  readonly title: string;
  readonly method: Method;
  /** The settings that its own stage takes its learning rate from. */
  readonly tuned: readonly ("mim" | "cl")[];
  readonly parent?: Entry;
}

const kinds: Readonly<Record<Entry, Kind>> = {
  "mim-first": { title: "MIM, first stage", method: "mim", tuned: ["mim"] },
  "cl-first": { title: "CL, first stage", method: "cl", tuned: ["cl"] },
  mim: { title: "MIM", method: "mim", tuned: ["mim"] },
  cl: { title: "CL", method: "cl", tuned: ["cl"] },
  mtl: { title: "MTL", method: "mtl", tuned: ["mim", "cl"] },
  "mim-to-cl": { title: "MIM → CL", method: "mim-to-cl", tuned: ["cl"], parent: "mim-first" },
  "cl-to-mim": { title: "CL → MIM", method: "cl-to-mim", tuned: ["mim"], parent: "cl-first" },
  "layer-grafted": { title: "layer-grafted", method: "layer-grafted", tuned: ["cl"], parent: "mim-first" },
  "auto-grafted": { title: "auto-grafted", method: "auto-grafted", tuned: ["cl"], parent: "mim-first" },
};

export const titleOf = (entry: Entry): string => kinds[entry].title;

/** The table's rows: shared first stages, then the methods in the paper's order. */
export function entriesOf({ methods: wanted }: StudyOptions): Entry[] {
  const chosen = (Object.keys(methods) as Method[]).filter((name) => wanted.includes(name));
  const parents = new Set(chosen.flatMap((name) => kinds[name].parent ?? []));
  const first = (["mim-first", "cl-first"] as const).filter((entry) => parents.has(entry));
  return [...first, ...chosen];
}

/** Every cell that can be named by now, in the order to train them. Others need a learning rate that is still searched for. */
export function cellsOf(options: StudyOptions, outcomes: Outcomes): Cell[] {
  const entries = entriesOf(options);
  const searched = entries.flatMap((entry) => searchOf(options, outcomes, entry));
  const rest = Array.from({ length: options.seeds - 1 }, (_, i) => i + 1).flatMap((seed) =>
    entries.flatMap((entry) => {
      const factor = chosenFactor(options, outcomes, entry);
      return factor === undefined ? [] : (cellOf(options, outcomes, entry, seed, factor) ?? []);
    }),
  );
  return [...searched, ...rest];
}

/** Cells of a whole study, named or not. */
export function cellCount(options: StudyOptions): number {
  return entriesOf(options).length * (options.search.length + options.seeds - 1);
}

/** Cells that can be trained now: not done, and their parent is. */
export function readyCells(options: StudyOptions, outcomes: Outcomes): Cell[] {
  return cellsOf(options, outcomes).filter(
    ({ id, parent }) => !outcomes.has(id) && (parent === undefined || isDone(outcomes.get(parent))),
  );
}

/** The search of an entry: all factors at the first seed. */
export function searchOf(options: StudyOptions, outcomes: Outcomes, entry: Entry): Cell[] {
  return options.search.flatMap((factor) => cellOf(options, outcomes, entry, 0, factor) ?? []);
}

/**
 * The factor with the best validation accuracy at the first seed, which all seeds use; undefined while it is searched for,
 * or when no factor led to the end. Where there is nothing to choose from, the only factor.
 */
export function chosenFactor(options: StudyOptions, outcomes: Outcomes, entry: Entry): number | undefined {
  if (options.search.length === 1) return options.search[0];
  const found = searchOf(options, outcomes, entry).map(({ id, factor }) => ({ factor, outcome: outcomes.get(id) }));
  if (found.length === 0 || found.some(({ outcome }) => outcome === undefined)) return undefined;
  const whole = found.flatMap(({ factor, outcome }) => (isDone(outcome) ? { factor, ...outcome } : []));
  return whole.sort((a, b) => b.validation - a.validation)[0]?.factor;
}

/** Epochs of an entry's own stage. */
export function epochsOf(options: StudyOptions, entry: Entry): number {
  const { mim, cl } = options.settings;
  if (entry === "mim-first" || entry === "cl-to-mim") return mim.epochs;
  if (entry === "cl-first" || kinds[entry].parent !== undefined) return cl.epochs;
  return Number((budgetOf(options) / workOf(options, kinds[entry].method)).toPrecision(4));
}

/** Peak learning rate, for a batch of 256, of an entry's own stage. */
export function learningRateOf({ settings }: StudyOptions, entry: Entry, factor: number): number {
  return settings[kinds[entry].tuned.at(-1)!].learningRate * factor;
}

/** Operations per image that an entry has spent when its stage ends, with those of its parent. */
export function spentOf(options: StudyOptions, entry: Entry): number {
  const { method: name, tuned, parent } = kinds[entry];
  const own = parent === undefined ? name : tuned[0]!;
  return epochsOf(options, entry) * workOf(options, own) + (parent === undefined ? 0 : spentOf(options, parent));
}

/** The budget of every method: the operations per image of a first stage of MIM and a second one of CL. */
export function budgetOf(options: StudyOptions): number {
  const { mim, cl } = options.settings;
  return mim.epochs * workOf(options, "mim") + cl.epochs * workOf(options, "cl");
}

/** The recipe of a cell. `parent` is the checkpoint of the cell it starts from. */
export function recipeOf(options: StudyOptions, { id, entry, seed, factor }: Cell, parent?: string): RecipeInput {
  const { settings, limit } = options;
  const { method: name, tuned } = kinds[entry];
  const epochs = epochsOf(options, entry);
  const own = { ...settings };
  for (const part of tuned) {
    const learningRate = settings[part].learningRate * factor;
    if (part === "mim") own.mim = { ...settings.mim, epochs, learningRate };
    else own.cl = { ...settings.cl, epochs, learningRate };
  }
  const recipe = method(name, { ...own, name: id, seed, watch: false, ...(parent === undefined ? {} : { parent }) });
  return limit === undefined ? recipe : { ...recipe, limit };
}

export function isDone(outcome: Outcome | undefined): outcome is { readonly validation: number } {
  return outcome !== undefined && "validation" in outcome;
}

/** Undefined while the learning rate of its parent is not chosen. */
function cellOf(options: StudyOptions, outcomes: Outcomes, entry: Entry, seed: number, factor: number) {
  const { parent } = kinds[entry];
  const idOf = (entry: Entry, factor: number) => `${entry}-x${factor}-s${seed}`;
  const cell = { id: idOf(entry, factor), entry, seed, factor };
  if (parent === undefined) return cell;
  const chosen = chosenFactor(options, outcomes, parent);
  return chosen === undefined ? undefined : { ...cell, parent: idOf(parent, chosen) };
}

/** Operations per image and epoch of a method of one stage. Remembered: it is asked for often, and counted on a graph. */
function workOf({ settings }: StudyOptions, name: Method): number {
  const known = counted.get(settings) ?? new Map<Method, number>();
  counted.set(settings, known);
  const found = known.get(name);
  if (found !== undefined) return found;
  const recipe = defineRecipe(method(name, settings));
  const work = imageWork(resolveStages(recipe)[0]!);
  known.set(name, work);
  return work;
}
const counted = new WeakMap<StudyOptions["settings"], Map<Method, number>>();
