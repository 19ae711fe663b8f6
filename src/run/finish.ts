/** finish.json: where a run ends that is finished early. */
import { join } from "node:path";
import { z } from "zod";
import { readJson, writeJson } from "./json.ts";

const finishSchema = z.object({
  /** The last stage of the run. */
  stage: z.string(),
  /** Its steps when it was decided, from which on it is annealed. */
  from: z.int().min(1),
  /** Its steps at the end. */
  to: z.int().min(1),
  /** Its steps in the recipe. */
  planned: z.int().min(1),
});
export type Finish = z.infer<typeof finishSchema>;

export function writeFinish(dir: string, finish: Finish): void {
  writeJson(join(dir, fileName), finish);
}

/** Undefined when the run goes on to the end of its recipe. */
export function readFinish(dir: string): Finish | undefined {
  return readJson(join(dir, fileName), finishSchema);
}

const fileName = "finish.json";
