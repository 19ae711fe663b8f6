import { Command, InvalidArgumentError } from "commander";
import type { Shots } from "../evaluators/few-shot.ts";
import { protocols, type Protocol } from "../train/tasks.ts";
import { writeReport } from "../report/report.ts";
import { evaluate } from "../train/evaluate.ts";
import { imagesHelp, sourceAt } from "./data.ts";
import { whole } from "./options.ts";
import { createOutput } from "./progress.ts";
import { formatEvaluation } from "./table.ts";

interface Options {
  data?: string;
  protocol?: Protocol[];
  shots?: Shots[];
  draws: number;
  limit?: number;
  seed?: number;
  json: boolean;
}

export function evaluateCommand(): Command {
  return new Command("evaluate")
    .description("measure how good a run's encoder is with k-NN, a linear probe and few labels")
    .argument("<run>", "run folder")
    .option(
      "--data <images>",
      `${imagesHelp}; a folder needs a subfolder per class, also within train and test (default: what the run was trained on)`,
    )
    .option(
      "--protocol <list>",
      `comma-separated, of ${protocols.join(", ")} (default: all that apply)`,
      parseProtocols,
    )
    .option(
      "--shots <list>",
      "labels per class of the few-shot protocol, or shares of all, such as 1,5,10% (default: 1,5)",
      parseShots,
    )
    .option("--draws <n>", "random choices of the few labels", whole(), 5)
    .option("--limit <n>", "use at most so many of the images, the same share of every class", whole())
    .option("--seed <n>", "of splits and draws (default: the run's)", whole(0))
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\nExamples:\n  layergraft evaluate runs/demo\n  layergraft evaluate runs/pets --data pets-labelled --protocol knn,few-shot --shots 1,2,5,10%",
    )
    .action(async (run: string, { data, protocol, shots, draws, limit, seed, json }: Options) => {
      const output = createOutput({ json });
      const evaluation = await evaluate(run, {
        draws,
        data: data === undefined ? undefined : await sourceAt(data),
        protocols: protocol,
        shots,
        limit,
        seed,
        onProgress: (done, total, what) => output.work(`evaluating ${what}`, done, total),
      });
      output.say(formatEvaluation(evaluation));
      output.result(evaluation);
      writeReport(run);
    });
}

function parseProtocols(text: string): Protocol[] {
  return text.split(",").map((name) => {
    const found = protocols.find((each) => each === name.trim());
    if (found === undefined)
      throw new InvalidArgumentError(`unknown protocol ${name}; available: ${protocols.join(", ")}.`);
    return found;
  });
}

function parseShots(text: string): Shots[] {
  return text.split(",").map((each): Shots => {
    const share = /^\s*(\d+(?:\.\d+)?)\s*%\s*$/.exec(each)?.[1];
    if (share === undefined) return whole()(each);
    if (!(Number(share) > 0 && Number(share) <= 100))
      throw new InvalidArgumentError("expected a share above 0 % and up to 100 %.");
    return `${Number(share)}%`;
  });
}
