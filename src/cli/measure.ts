/** What an encoder is worth, everything that can be asked: the table, accuracy by layer, what happens inside, mistakes. */
import { mkdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import type { Score } from "../evaluators/evaluator.ts";
import { writeWeights } from "../run/checkpoint.ts";
import { drawConfusion } from "../report/draw-confusion.ts";
import { analyse, type AnalyseOptions } from "../measure/analyse.ts";
import { evaluate, type EvaluateOptions, type Measured } from "../measure/evaluate.ts";
import type { FineTuned } from "../measure/finetune.ts";
import type { InsideOptions } from "../measure/inside.ts";
import { evaluateLayers } from "../measure/layers.ts";
import { type ProtocolName, protocolNames, usual } from "../measure/protocols/index.ts";
import type { Output } from "./progress.ts";
import { formatAnalysis, formatEvaluation, formatLayers } from "./table.ts";
import { rangeOf } from "../data/sources/range.ts";
import type { SampleRange } from "../data/formats/decode.ts";
import { encoderHeader } from "../evaluators/encoder.ts";
import { keptRange } from "./samples.ts";

/** Protocols that fill the table, and the two that fill pages of their own. */
export const measures = [...protocolNames, "by-layer", "analysis"] as const;
export type Measure = (typeof measures)[number];
export const usualMeasures: readonly Measure[] = [...usual, "by-layer", "analysis"];

export interface MeasureOptions extends Omit<EvaluateOptions, "protocols" | "onProgress" | "onScore">, InsideOptions {
  readonly measures?: readonly Measure[] | undefined;
  /** Images that the analysis looks at. */
  readonly images?: AnalyseOptions["images"];
}

/** Measures a run folder or a checkpoint, says what it found, and writes the documents and pictures of the report. */
export async function measure(path: string, output: Output, options: MeasureOptions): Promise<void> {
  const { images, against, out, ...rest } = options;
  const isRun = !(statSync(path, { throwIfNoEntry: false })?.isFile() ?? false);
  // by-layer and analysis write documents: of a checkpoint alone there is no folder for them unless one is given
  const wanted = options.measures ?? (isRun || out !== undefined ? usualMeasures : usual);
  const onProgress = (done: number, total: number, what: string) => output.work(`evaluating ${what}`, done, total);
  const inside = { ...rest, against, out, onProgress };
  const inTable = wanted.filter((name): name is ProtocolName => protocolNames.some((each) => each === name));
  if (inTable.length > 0) {
    let last: Measured | undefined;
    const range = rest.data === undefined ? keptRange(path) : rangeOf(rest.data);
    const onScore = (measured: Measured) => {
      if (isFineTuned(measured.score)) keep(isRun ? path : out, measured, measured.score, range, output);
      if (measured.score.predictions !== undefined && isBetterToShow(measured, last)) last = measured;
    };
    const evaluation = await evaluate(path, { ...rest, protocols: inTable, onProgress, onScore });
    if (isRun && last !== undefined) await drawMistakes(path, last);
    output.say(`\n${formatEvaluation(evaluation)}\n`);
    output.result({ kind: "evaluation", ...evaluation });
  }
  if (wanted.includes("by-layer")) {
    const layers = await evaluateLayers(path, inside);
    output.say(`${formatLayers(layers)}\n`);
    output.result({ kind: "layers", ...layers });
  }
  if (wanted.includes("analysis")) {
    const analysis = await analyse(path, { ...inside, ...(images === undefined ? {} : { images }) });
    output.say(formatAnalysis(analysis));
    output.result({ kind: "analysis", ...analysis });
  }
}

const isFineTuned = (score: Score): score is FineTuned => "parameters" in score;

/** Encoder and head as one file, which can be used as a checkpoint; of a checkpoint file only where there is a folder for it. */
function keep(
  dir: string | undefined,
  { candidate, task }: Measured,
  { parameters, model, view }: FineTuned,
  range: SampleRange | undefined,
  output: Output,
): void {
  if (dir === undefined) return;
  const path = join(dir, "fine-tuned", `${candidate.name}.safetensors`);
  mkdirSync(dirname(path), { recursive: true });
  const header = encoderHeader({ model, view, range });
  writeWeights(path, parameters, { ...header, classes: JSON.stringify(task.question!.classes) });
  output.say(`saved ${path}`);
}

/** Mistakes are shown of the encoder that was trained last, of the first protocol that says what each image is. */
function isBetterToShow({ candidate, tested }: Measured, before: Measured | undefined): boolean {
  return tested !== undefined && candidate.name !== before?.candidate.name;
}

async function drawMistakes(dir: string, { candidate, task, score, source, tested }: Measured): Promise<void> {
  const { classes, labels } = task.question!;
  await drawConfusion(dir, {
    source,
    rows: tested!,
    labels: Int32Array.from(tested!, (row) => labels[row]!),
    predictions: score.predictions!,
    classes,
    encoder: { name: candidate.name, title: candidate.title },
    label: task.label,
  });
}
