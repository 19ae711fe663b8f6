import { Command, InvalidArgumentError } from "commander";
import { statSync } from "node:fs";
import type { Shots } from "../evaluators/few-shot.ts";
import { writeReport } from "../report/report.ts";
import { evaluate } from "../train/evaluate.ts";
import { type ProtocolSettings, protocols, type Protocol, usual } from "../train/tasks.ts";
import { imagesHelp, sourceAt } from "./data.ts";
import { list, type Setting, setting, whole } from "./options.ts";
import { createOutput } from "./progress.ts";
import { formatEvaluation } from "./table.ts";

interface Options {
  data?: string;
  encoders?: string[];
  protocol?: Protocol[];
  shots?: Shots[];
  draws?: number;
  limit?: number;
  seed?: number;
  threads?: number;
  set?: Setting[];
  json: boolean;
}

export function evaluateCommand(): Command {
  return new Command("evaluate")
    .description("measure how good an encoder is: k-NN, linear probes, few labels, fine-tuning and what happens inside")
    .argument("<run>", "run folder, or a checkpoint file")
    .option(
      "--data <images>",
      `${imagesHelp}; a folder needs a subfolder per class, also within train and test (default: what the run was trained on)`,
    )
    .option(
      "--protocol <list>",
      `comma-separated, of ${protocols.join(", ")} (default: ${usual.join(", ")}, where they apply)`,
      parseProtocols,
    )
    .option("--encoders <list>", "of random, pixels, a stage's name, last (default: all)", list)
    .option(
      "--shots <list>",
      "labels per class of the few-shot protocol, or shares of all, such as 1,5,10% (default: 1,5)",
      parseShots,
    )
    .option("--draws <n>", "random choices of the few labels (default: 5)", whole())
    .option("--limit <n>", "use at most so many of the images, the same share of every class", whole())
    .option("--seed <n>", "of splits and draws (default: the run's)", whole(0))
    .option("--threads <n>", "of the computation (default: all cores)", whole())
    .option("--set <protocol.option=value>", "any option of a protocol, e.g. knn.ks=[5,20]; may be repeated", setting)
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\ndocs/evaluation.md says what each protocol does and which options it has.\n" +
        "\nExamples:\n  layergraft evaluate runs/demo\n  layergraft evaluate runs/pets --data pets-labelled --protocol knn,few-shot --shots 1,2,5,10%",
    )
    .action(async (run: string, options: Options) => {
      const { data, encoders, protocol, limit, seed, threads, json } = options;
      const output = createOutput({ json });
      const evaluation = await evaluate(run, {
        data: data === undefined ? undefined : await sourceAt(data),
        contenders: encoders,
        protocols: protocol,
        settings: settingsOf(options),
        limit,
        seed,
        threads,
        onProgress: (done, total, what) => output.work(`evaluating ${what}`, done, total),
      });
      output.say(formatEvaluation(evaluation));
      output.result(evaluation);
      if (statSync(run).isDirectory()) writeReport(run);
    });
}

/** The options of the protocols, by their names. */
function settingsOf({ shots, draws, set = [] }: Options): ProtocolSettings {
  const settings: Record<string, Record<string, unknown>> = {};
  const put = (protocol: string, option: string, value: unknown) => void ((settings[protocol] ??= {})[option] = value);
  if (shots !== undefined) put("few-shot", "shots", shots);
  if (draws !== undefined) put("few-shot", "draws", draws);
  for (const { path, value } of set) {
    const [protocol, option, ...more] = path;
    if (option === undefined || more.length > 0)
      throw new Error(`--set ${path.join(".")}: expected protocol.option=value, such as knn.ks=[5,20]`);
    put(protocol!, option, value);
  }
  return settings; // checked by tasksOf
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
