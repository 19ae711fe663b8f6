/** evaluation.json: what frozen encoders are worth, one row per question and one column per encoder. */
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

export const evaluationSchema = z.object({
  columns: z.array(z.object({ name: z.string(), title: z.string() })),
  rows: z.array(
    z.object({
      /** The evaluator: knn, linear, few-shot … */
      protocol: z.string(),
      label: z.string(),
      /** What the numbers are, such as `accuracy`. */
      metric: z.string(),
      /** They lie in [0, 1] and are shown as percentages (default); otherwise as they are. */
      share: z.boolean().optional(),
      /** By column name. A column that was not measured is missing or null. */
      values: z.record(z.string(), z.number().nullable()),
      /** Standard deviation over repetitions, in the unit of `values`. */
      deviations: z.record(z.string(), z.number().nullable()).optional(),
      /** On the validation split, where a choice was made on it: what settings are chosen by, rather than by `values`. */
      validation: z.record(z.string(), z.number()).optional(),
      /** What was chosen, for people. */
      details: z.record(z.string(), z.string()).optional(),
      /** Mean number of labels per class, of a row that asks what few labels are worth. */
      labels: z.number().optional(),
      /** The images, where they are not those of the run. */
      data: z.string().optional(),
      /** How it was asked: values of different settings do not stand in one row. */
      settings: z.record(z.string(), z.unknown()).optional(),
      /** What guessing reaches, in the unit of `values`. */
      chance: z.number().optional(),
      /** Which direction is better (default: higher). */
      better: z.enum(["higher", "lower"]).optional(),
    }),
  ),
  notes: z.array(z.string()).optional(),
});
export type Evaluation = z.infer<typeof evaluationSchema>;
type Row = Evaluation["rows"][number];

export function writeEvaluation(dir: string, evaluation: Evaluation): void {
  writeJson(join(dir, "evaluation.json"), evaluation);
}

/** Adds to what was measured before, writes it, and returns what is new. */
export function addEvaluation(dir: string, evaluation: Evaluation): Evaluation {
  const known = readEvaluation(dir);
  writeEvaluation(dir, known === undefined ? evaluation : merge(known, evaluation));
  return evaluation;
}

/** The same question about the same images is one row, and the newer value counts; asked in another way it is a new row. */
export function merge(before: Evaluation, now: Evaluation): Evaluation {
  const columns = [...before.columns];
  for (const column of now.columns) {
    const at = columns.findIndex(({ name }) => name === column.name);
    columns.splice(at === -1 ? columns.length : at, 1, column);
  }
  const isSame = (a: Row, b: Row) => a.label === b.label && a.protocol === b.protocol && a.data === b.data;
  const rows = before.rows.map((row) => {
    const again = now.rows.find((each) => isSame(each, row));
    if (again === undefined) return row;
    if (again.metric !== row.metric || !isDeepStrictEqual(plain(again.settings), plain(row.settings))) return again;
    const both = <T>(a: Record<string, T> | undefined, b: Record<string, T> | undefined) =>
      a === undefined && b === undefined ? undefined : { ...a, ...b };
    return {
      ...again,
      values: { ...row.values, ...again.values },
      deviations: both(row.deviations, again.deviations),
      validation: both(row.validation, again.validation),
      details: both(row.details, again.details),
    };
  });
  for (const row of now.rows) {
    if (before.rows.some((each) => isSame(each, row))) continue;
    const alike = rows.findLastIndex(({ protocol, data }) => protocol === row.protocol && data === row.data);
    rows.splice(alike === -1 ? rows.length : alike + 1, 0, row); // beside those of its protocol
  }
  const notes = [...new Set([...(before.notes ?? []), ...(now.notes ?? [])])];
  return { columns, rows, ...(notes.length === 0 ? {} : { notes }) };
}

/** As it is read back from JSON. */
function plain(value: unknown): unknown {
  return value === undefined ? undefined : JSON.parse(JSON.stringify(value));
}

/** Undefined when the run was not evaluated. */
export function readEvaluation(dir: string): Evaluation | undefined {
  return readJson(join(dir, "evaluation.json"), evaluationSchema);
}
