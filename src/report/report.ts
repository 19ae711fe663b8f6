/** Run folder → report.html, one self-contained page. */
import { basename, join, resolve } from "node:path";
import { writeFileAtomic } from "../run/atomic.ts";
import { readAnalysis } from "../run/analysis.ts";
import { readConflict } from "../run/conflict.ts";
import { readConfusion } from "../run/confusion.ts";
import { readEvaluation } from "../run/evaluation.ts";
import { openRun } from "../run/folder.ts";
import { readLayers } from "../run/layers.ts";
import { readMetrics } from "../run/metrics.ts";
import { readNotes } from "../run/notes.ts";
import { readSamples } from "../run/samples.ts";
import { page } from "./page.ts";
import { encoderColors } from "./palette.ts";
import { appendix } from "./sections/appendix.ts";
import { conflict } from "./sections/conflict.ts";
import { confusion } from "./sections/confusion.ts";
import { featureMap } from "./sections/feature-map.ts";
import { header } from "./sections/header.ts";
import { inside } from "./sections/inside.ts";
import { labelEfficiency } from "./sections/label-efficiency.ts";
import { layers } from "./sections/layers.ts";
import { neighbours } from "./sections/neighbours.ts";
import { rates } from "./sections/rates.ts";
import { reconstructions } from "./sections/reconstructions.ts";
import { results } from "./sections/results.ts";
import { training } from "./sections/training.ts";
import { stagesOf } from "./series.ts";

/** Writes the report of the run in `dir` and returns its path. Throws one sentence that names the file at fault. */
export function writeReport(dir: string): string {
  const path = join(dir, "report.html");
  writeFileAtomic(path, renderReport(dir));
  return path;
}

/** The page as text. The same run folder gives the same page; a section without data is left out. */
export function renderReport(dir: string): string {
  const run = openRun(dir);
  const name = basename(resolve(dir));
  const notes = readNotes(dir);
  const samples = readSamples(dir);
  const evaluation = readEvaluation(dir);
  const byDepth = readLayers(dir);
  const confused = readConfusion(dir);
  const analysis = readAnalysis(dir);
  const measured = readConflict(dir);
  const stages = stagesOf(readMetrics(dir));
  const encoders = [evaluation?.columns, byDepth?.encoders, analysis?.encoders, analysis?.map?.encoders];
  const colors = encoderColors([...stages, ...encoders.flatMap((some) => some ?? [])].map((each) => each.name));
  const sections = [
    header({
      name,
      description: descriptionOf(run.recipe),
      environment: run.environment,
      notes,
      stages,
      evaluation,
      colors,
    }),
    evaluation && results(evaluation, colors),
    evaluation && labelEfficiency(evaluation, colors),
    byDepth && layers(byDepth, colors),
    confused && confusion(dir, confused),
    analysis?.map && featureMap(dir, analysis.map),
    samples.reconstructions && reconstructions(dir, samples.reconstructions),
    samples.neighbours && neighbours(dir, samples.neighbours),
    analysis && inside(dir, analysis, colors),
    samples.learningRates && rates(samples.learningRates),
    measured && conflict(measured),
    training(stages),
    appendix(run, notes),
  ];
  return page(
    `${name} · layergraft`,
    sections,
    `Written by layergraft ${run.environment.layergraft} from the files beside this page.`,
  );
}

/** A recipe may describe itself in one sentence. */
function descriptionOf(recipe: unknown): string | undefined {
  if (typeof recipe !== "object" || recipe === null || !("description" in recipe)) return undefined;
  return typeof recipe.description === "string" ? recipe.description : undefined;
}
