/** The files that a study leaves for its readers: results.json, table.md, table.csv, pictures and report.html. */
import { join } from "node:path";
import { writeFileAtomic } from "../run/atomic.ts";
import type { Environment } from "../run/environment.ts";
import { writeJson } from "../run/json.ts";
import { conflictChart, fewLabelsChart, methodsChart, standalone } from "./figures.ts";
import type { StudyOptions } from "./design.ts";
import { renderStudy } from "./report.ts";
import type { StudyResults } from "./results.ts";
import { csvTable, markdownTable } from "./table.ts";

export function writeOutputs(out: string, study: StudyOptions, results: StudyResults, environment: Environment): void {
  const drawings = {
    "few-labels": fewLabelsChart(results),
    methods: methodsChart(results),
    conflict: conflictChart(results),
  };
  writeJson(join(out, "results.json"), results);
  writeFileAtomic(join(out, "table.md"), markdownTable(results));
  writeFileAtomic(join(out, "table.csv"), csvTable(results));
  for (const [name, drawing] of Object.entries(drawings))
    if (drawing !== undefined) writeFileAtomic(join(out, `${name}.svg`), standalone(drawing));
  writeFileAtomic(join(out, "report.html"), renderStudy(study, results, environment));
}
