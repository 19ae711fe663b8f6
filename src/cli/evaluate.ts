import { Command, InvalidArgumentError } from "commander";
import { protocols, type Protocol } from "../evaluators/tasks.ts";
import { writeReport } from "../report/report.ts";
import { evaluate } from "../train/evaluate.ts";
import { whole } from "./options.ts";
import { createOutput } from "./progress.ts";
import { formatEvaluation } from "./table.ts";

interface Options {
  data?: string;
  protocol?: Protocol[];
  shots?: number[];
  draws: number;
  seed?: number;
  json: boolean;
}

export function evaluateCommand(): Command {
  return new Command("evaluate")
    .description("measure how good a run's encoder is with k-NN, a linear probe and few labels")
    .argument("<run>", "run folder")
    .option("--data <dir>", "images with a subfolder per class (default: what the run was trained on)")
    .option(
      "--protocol <list>",
      `comma-separated, of ${protocols.join(", ")} (default: all that apply)`,
      parseProtocols,
    )
    .option("--shots <list>", "labels per class of the few-shot protocol (default: 1,5)", parseShots)
    .option("--draws <n>", "random choices of the few labels", whole(), 5)
    .option("--seed <n>", "of splits and draws (default: the run's)", whole(0))
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\nExamples:\n  layergraft evaluate runs/demo\n  layergraft evaluate runs/pets --data pets-labelled --protocol knn,few-shot --shots 1,2,5",
    )
    .action(async (run: string, { data, protocol, shots, draws, seed, json }: Options) => {
      const output = createOutput({ json });
      const evaluation = await evaluate(run, {
        draws,
        ...(data === undefined ? {} : { data: { kind: "folder", path: data } }),
        ...(protocol === undefined ? {} : { protocols: protocol }),
        ...(shots === undefined ? {} : { shots }),
        ...(seed === undefined ? {} : { seed }),
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

function parseShots(text: string): number[] {
  return text.split(",").map(whole());
}
