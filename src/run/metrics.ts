/** metrics.jsonl: one JSON row per logged step, in the order of training. */
import { closeSync, existsSync, fdatasyncSync, openSync, readFileSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { writeAll, writing } from "./atomic.ts";

/** A logged step. `step` counts optimizer steps and `epoch` passes over the data, both within the stage. */
export interface MetricRow {
  readonly stage: string;
  readonly step: number;
  readonly epoch?: number;
  /** Any further numbers: loss, learningRate, gradientNorm, imagesPerSecond, secondsPerStep, featureStd … */
  readonly [metric: string]: number | string | undefined;
}

/** A place in the training: all steps up to and including `step` of `stage`, and all earlier stages. */
export interface Position {
  readonly stage: string;
  readonly step: number;
  /** Stage names in the order of the recipe. */
  readonly stages: readonly string[];
}

/** Appends rows. Every row is handed to the operating system at once, so a killed process loses none. */
export class MetricsLog {
  readonly #file: number;
  readonly #path: string;

  /** Continues the log of the run in `dir`, cutting off a torn last line. */
  constructor(dir: string) {
    const path = join(dir, fileName);
    if (existsSync(path)) truncateSync(path, linesOf(path).end);
    this.#path = path;
    this.#file = writing(path, () => openSync(path, "a"));
  }

  /** A value that is not finite is written as null, as JSON has no such number, and read back as NaN. */
  append(row: MetricRow): void {
    writing(this.#path, () => writeAll(this.#file, Buffer.from(`${JSON.stringify(row)}\n`)));
  }

  /** Waits until all rows are on the disk: call it before saving a checkpoint, which must not be ahead of its log. */
  sync(): void {
    writing(this.#path, () => fdatasyncSync(this.#file));
  }

  close(): void {
    closeSync(this.#file);
  }
}

/** All rows of a run, without a torn last line; empty when there is no log. Throws when an inner line is damaged. */
export function readMetrics(dir: string): MetricRow[] {
  const path = join(dir, fileName);
  return existsSync(path) ? linesOf(path).lines.map(({ text, number }) => parse(text, path, number)) : [];
}

/** Cuts the log after `position`, so that a resumed log equals an uninterrupted one; returns how many rows went. */
export function rewindMetrics(dir: string, position: Position): number {
  const path = join(dir, fileName);
  if (!existsSync(path)) return 0;
  const { lines, end } = linesOf(path);
  const first = lines.findIndex(({ text, number }) => {
    const row = parse(text, path, number);
    return isAfter(row.stage, row.step, position);
  });
  truncateSync(path, lines[first]?.start ?? end);
  return first === -1 ? 0 : lines.length - first;
}

/** Whether a step comes after `position`. */
export function isAfter(stage: string, step: number, position: Position): boolean {
  if (stage === position.stage) return step > position.step;
  return position.stages.indexOf(stage) > position.stages.indexOf(position.stage);
}

const fileName = "metrics.jsonl";

interface Line {
  readonly text: string;
  /** Counted from 1. */
  readonly number: number;
  /** Byte at which the line starts. */
  readonly start: number;
}

/** Complete lines only: what follows the last line break was torn by a kill. `end` is the byte after that break. */
function linesOf(path: string): { lines: Line[]; end: number } {
  const bytes = readFileSync(path);
  const lines: Line[] = [];
  let start = 0;
  for (let end = bytes.indexOf(0x0a); end !== -1; end = bytes.indexOf(0x0a, start)) {
    const text = bytes.toString("utf8", start, end);
    lines.push({ text, number: lines.length + 1, start });
    start = end + 1;
  }
  return { lines, end: start };
}

function parse(text: string, path: string, line: number): MetricRow {
  try {
    const row: unknown = JSON.parse(text, (_, value: unknown) => (value === null ? Number.NaN : value));
    if (isRow(row)) return row;
  } catch {
    // reported below
  }
  throw new Error(`${path}, line ${line} is not a metrics row with a stage and a step; remove that line`);
}

function isRow(value: unknown): value is MetricRow {
  if (typeof value !== "object" || value === null || !("stage" in value) || !("step" in value)) return false;
  return typeof value.stage === "string" && typeof value.step === "number";
}
