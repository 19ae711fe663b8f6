/** What a stage starts from. */
import { existsSync } from "node:fs";
import type { Tensor } from "../tensor/tensor.ts";
import { listCheckpoints, readWeights } from "../run/checkpoint.ts";
import { messageOf } from "../run/errors.ts";
import type { Stage } from "./recipe.ts";
import type { ResolvedStage } from "./stage.ts";
import type { Step } from "../step/step.ts";

/** Throws when a stage is to start from a file that is not there: better now than when its turn comes. */
export function checkStarts(stages: readonly Pick<Stage, "name" | "init">[]) {
  for (const { name, init } of stages)
    for (const { path } of init)
      if (path !== undefined && !existsSync(path))
        throw new Error(`stage ${name} cannot start from ${path}: there is no such file`);
}

/** Copies the stage's starting values from where its recipe says. Throws when a source has nothing that fits. */
export async function initialise(dir: string, stage: ResolvedStage, step: Step): Promise<void> {
  for (const { match, ...start } of stage.init) {
    const file = startFile(dir, stage, start);
    const pattern = new RegExp(match);
    const to = start.to ?? stage.objective.encoder;
    try {
      const from = start.from ?? readWeights(file, () => false).metadata["encoder"] ?? "";
      // weights only: the optimizer's moments belong to the run that goes on, not to one that starts
      const wanted = (name: string) =>
        name.startsWith(from) && !name.startsWith("optimizer.") && pattern.test(name.slice(from.length));
      const values = new Map<string, Tensor>();
      for (const [name, value] of readWeights(file, wanted).tensors) values.set(to + name.slice(from.length), value);
      if ((await step.state.write(values)).length === 0)
        throw new Error(`it has no tensor that fits (names ${from}… for ${to}…)`);
    } catch (error) {
      throw new Error(`stage ${stage.name} cannot start from ${file}: ${messageOf(error)}`, { cause: error });
    }
  }
  await step.resetCopies();
}

/** The file of one of the stage's starts. Throws when the earlier stage it names has not ended. */
export function startFile(
  dir: string,
  { name }: Pick<Stage, "name">,
  { stage, path }: { stage?: string; path?: string },
): string {
  const file = path ?? listCheckpoints(dir).find((each) => each.stage === stage && each.final)?.path;
  if (file === undefined)
    throw new Error(`stage ${name} starts from ${stage}, but ${dir} has no final checkpoint of it`);
  return file;
}
