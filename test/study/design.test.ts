import { describe, expect, it } from "vitest";
import { type Method, methods } from "../../src/methods/methods.ts";
import {
  budgetOf,
  type Cell,
  cellCount,
  cellsOf,
  chosenFactor,
  type Outcome,
  readyCells,
  recipeOf,
  type StudyOptions,
} from "../../src/study/design.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { resolveStages } from "../../src/recipe/stage.ts";
import { imageWork } from "../../src/cost/work.ts";
import { tiny } from "./tiny.ts";

const all: StudyOptions = { ...tiny, methods: Object.keys(methods) as Method[], seeds: 3, search: [0.5, 1, 2] };

/** Trains until nothing is left; `judge` says what comes of a cell. */
function play(options: StudyOptions, judge: (cell: Cell) => Outcome) {
  const outcomes = new Map<string, Outcome>();
  const order: Cell[] = [];
  for (let next = readyCells(options, outcomes)[0]; next !== undefined; next = readyCells(options, outcomes)[0]) {
    outcomes.set(next.id, judge(next));
    order.push(next);
  }
  return { outcomes, order };
}

/** The best factor: 2 for contrast, 0.5 for all else. */
const prefer = ({ entry, factor }: Cell): Outcome => ({
  validation: 1 - Math.abs(factor - (entry.startsWith("cl") ? 2 : 0.5)) / 10,
});

/** Work per image of a cell and its parents, from their recipes. */
function workOf(options: StudyOptions, cell: Cell, cells: readonly Cell[]): number {
  const recipe = defineRecipe(recipeOf(options, cell, cell.parent));
  const own = resolveStages(recipe).reduce((sum, stage) => sum + stage.epochs * imageWork(stage), 0);
  return (
    own +
    (cell.parent === undefined
      ? 0
      : workOf(
          options,
          cells.find(({ id }) => id === cell.parent)!,
          cells,
        ))
  );
}

describe("a design", () => {
  const { order, outcomes } = play(all, prefer);

  it("trains every cell once, parents first", () => {
    const ids = order.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids.length).toBe(cellCount(all));
    for (const [i, { parent }] of order.entries()) if (parent !== undefined) expect(ids.slice(0, i)).toContain(parent);
  });

  it("shares one first stage per seed between the methods that build on it", () => {
    const parentsOf = (entry: string, seed: number) =>
      new Set(order.filter((cell) => cell.entry === entry && cell.seed === seed).map(({ parent }) => parent));
    for (const seed of [0, 1, 2]) {
      for (const name of ["mim-to-cl", "layer-grafted", "auto-grafted"])
        expect(parentsOf(name, seed)).toEqual(new Set([`mim-first-x0.5-s${seed}`]));
      expect(parentsOf("cl-to-mim", seed)).toEqual(new Set([`cl-first-x2-s${seed}`]));
    }
  });

  it("gives every method the same work", () => {
    const whole = order.filter(({ entry }) => !entry.endsWith("-first"));
    for (const cell of whole) expect(workOf(all, cell, order) / budgetOf(all)).toBeCloseTo(1, 2);
  });

  it("searches at the first seed, and all others use the choice", () => {
    for (const cell of order.filter(({ seed }) => seed > 0))
      expect(cell.factor).toBe(chosenFactor(all, outcomes, cell.entry));
    expect(chosenFactor(all, outcomes, "layer-grafted")).toBe(0.5);
    const tried = order.filter(({ entry, seed }) => entry === "mtl" && seed === 0).map(({ factor }) => factor);
    expect(tried).toEqual([0.5, 1, 2]);
    const trained = order.filter(({ entry, seed, factor }) => entry === "mtl" && seed === 0 && factor === 0.5);
    expect(trained).toHaveLength(1); // the search's own cell is the first seed's
  });

  it("only scales the learning rate of a cell's own stage", () => {
    const rate = (id: string) => {
      const cell = order.find((each) => each.id === id)!;
      return defineRecipe(recipeOf(all, cell, cell.parent)).stages.map(({ name, learningRate }) => [
        name,
        learningRate,
      ]);
    };
    expect(rate("mtl-x2-s0")).toEqual([["mtl", 0.02]]);
    expect(rate("cl-to-mim-x2-s0")).toEqual([["mim", 0.02]]);
    expect(rate("layer-grafted-x0.5-s1")).toEqual([["cl", 0.005]]);
  });

  it("watches nothing: a study compares what it measures at the end", () => {
    for (const cell of order)
      for (const { monitors } of recipeOf(all, cell, cell.parent).stages) expect(monitors).toBeUndefined();
  });

  it("names nothing that hangs on a choice to come", () => {
    const none = cellsOf(all, new Map());
    expect(none.every(({ seed, parent }) => seed === 0 && parent === undefined)).toBe(true);
  });
});

describe("failed cells", () => {
  it("are not chosen", () => {
    const { outcomes } = play(all, (cell) => (cell.factor === 0.5 ? { failed: "diverged" } : prefer(cell)));
    expect(chosenFactor(all, outcomes, "mim")).toBe(1);
  });

  it("leave out what builds on them, and nothing else", () => {
    const { order } = play(all, (cell) => (cell.entry === "mim-first" ? { failed: "diverged" } : prefer(cell)));
    const entries = new Set(order.map(({ entry }) => entry));
    expect(entries).toEqual(new Set(["mim-first", "cl-first", "mim", "cl", "mtl", "cl-to-mim"]));
  });
});

it("without a search the only factor is used, whatever comes of the first seed", () => {
  const { order } = play(tiny, ({ seed }) => (seed === 0 ? { failed: "diverged" } : { validation: 1 }));
  expect(order.map(({ id }) => id)).toEqual([
    "mim-first-x1-s0",
    "mtl-x1-s0",
    "mim-first-x1-s1",
    "mtl-x1-s1",
    "layer-grafted-x1-s1",
  ]);
});
