/** Program of the tests: `mpirun -np N node job-program.js OUT TASK` pre-trains as the JSON of `Task` says. */
import { interruptible } from "../../src/cli/interrupt.ts";
import { launched } from "../../src/collective/launch.ts";
import { joinPretrain, pretrain } from "../../src/train/pretrain.ts";
import type { RecipeInput } from "../../src/recipe/recipe.ts";

export interface Task {
  /** Left out: the run in OUT goes on. */
  readonly recipe?: RecipeInput;
  /** The run that goes on is finished early. */
  readonly finish?: boolean;
  /** The command of each process, where they differ. */
  readonly commands?: readonly string[];
}

const [out, text] = process.argv.slice(2) as [string, string];
const { recipe, finish, commands } = JSON.parse(text) as Task;
const { rank } = launched() ?? { rank: 0 };
const command = commands?.[rank] ?? "";
try {
  await interruptible(
    () => undefined,
    async (signal) => {
      if (rank > 0) await joinPretrain({ command, signal });
      else
        await pretrain({
          out,
          command,
          signal,
          ...(recipe === undefined ? { resume: true, finish: finish ?? false } : { recipe }),
        });
    },
  );
} catch (error) {
  console.error((error as Error).message);
  process.exitCode = 1;
}
