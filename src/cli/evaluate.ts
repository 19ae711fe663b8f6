import { Command, InvalidArgumentError } from "commander";
import type { Device } from "../backend/device.ts";
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { paperEvaluations } from "../methods/paper.ts";
import { writeReport } from "../report/report.ts";
import type { LabelChoice } from "../measure/labels.ts";
import type { ProtocolName, ProtocolSettings } from "../measure/protocols/index.ts";
import { openRun } from "../run/folder.ts";
import { locked } from "../run/lock.ts";
import { commandLine } from "./command-line.ts";
import { imagesHelp, sourceAt } from "./data.ts";
import { checkImageOptions, type ImageOptions, withImageOptions } from "./image-options.ts";
import { deviceOption } from "./device.ts";
import { badShareOption, list, type Setting, setting, whole } from "./options.ts";
import { type Measure, measure, measures, usualMeasures } from "./measure.ts";
import { createOutput } from "./progress.ts";
import { keptRange } from "./samples.ts";

interface Options extends ImageOptions {
  data?: string;
  encoders?: string[];
  protocol?: AskedProtocol[];
  against?: string[];
  images?: number;
  out?: string;
  shots?: LabelChoice[];
  draws?: number;
  limit?: number;
  maxBadShare?: number;
  seed?: number;
  device?: Device;
  threads?: number;
  set?: Setting[];
  json: boolean;
}

export function evaluateCommand(): Command {
  const command = new Command("evaluate")
    .description("measure how good an encoder is: k-NN, linear probes, few labels, fine-tuning and what happens inside")
    .argument("<run>", "run folder, or a checkpoint file")
    .option(
      "--data <images>",
      `${imagesHelp}; a folder needs a subfolder per class, also within train and test (default: what the run was trained on)`,
    )
    .option(
      "--protocol <list>",
      `comma-separated, of ${measures.join(", ")} (default: ${usualMeasures.join(", ")}); or as the paper did it: ` +
        Object.keys(paperEvaluations).join(", "),
      parseProtocols,
    )
    .option("--encoders <list>", "of random, pixels, a stage's name, last (default: all)", list)
    .option(
      "--shots <list>",
      "few-shot protocol: labels per class, shares of all, or split files that name the images: 1,5,10%,list.txt (default: 1,5)",
      parseShots,
    )
    .option("--draws <n>", "random choices of the few labels (default: 5)", whole())
    .option("--limit <n>", "use at most so many of the images, the same share of every class", whole())
    .addOption(badShareOption())
    .option("--seed <n>", "of splits and draws (default: the run's)", whole(0))
    .option("--against <list>", "by-layer, analysis: runs or checkpoints to put beside these encoders", list)
    .option("--images <n>", "analysis: look at so many images (default: 600)", whole(2))
    .option("--out <dir>", "of a checkpoint file: where by-layer, analysis and fine-tuned weights are written")
    .addOption(deviceOption("that runs encoders, and trains them in fine-tuning; default: the run's"))
    .option("--threads <n>", "of the computation (default: all cores)", whole())
    .option("--set <protocol.option=value>", "any option of a protocol, e.g. knn.ks=[5,20]; may be repeated", setting)
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\ndocs/evaluation.md says what each protocol does and which options it has.\n" +
        "\nExamples:\n  layergraft evaluate runs/demo\n  layergraft evaluate runs/pets --data pets-labelled --protocol knn,few-shot --shots 1,2,5,10%",
    )
    .action(async (run: string, options: Options) => {
      const { data, encoders, protocol, limit, maxBadShare, seed, device, threads, against, images, out, json } =
        options;
      const output = createOutput({ json });
      if (data === undefined) checkImageOptions(options, "--data");
      const isRun = !(statSync(run, { throwIfNoEntry: false })?.isFile() ?? false);
      if (isRun) openRun(run);
      const asked = {
        data: data === undefined ? undefined : await sourceAt(data, output, { ...options, keptRange: keptRange(run) }),
        encoders,
        measures: protocol?.map((each) => (isPaper(each) ? protocolOf(each) : each)),
        settings: settingsOf(options),
        limit,
        maxBadShare,
        seed,
        device,
        threads,
        against,
        images,
        out,
      };
      const work = async () => {
        await measure(run, output, asked);
        if (isRun) output.say(`report: ${resolve(writeReport(run))}`);
      };
      await (isRun ? locked(run, commandLine(), work) : work());
    });
  return withImageOptions(command);
}

type PaperEvaluation = keyof typeof paperEvaluations;
/** What `--protocol` takes: a protocol or a page, or a protocol as the paper set it. */
type AskedProtocol = Measure | PaperEvaluation;
const isPaper = (name: string): name is PaperEvaluation => Object.hasOwn(paperEvaluations, name);
const protocolOf = (name: PaperEvaluation) => Object.keys(paperEvaluations[name])[0] as ProtocolName;

/** The options of the protocols, by their names: the paper's where it was asked for, and what was said beside it. */
function settingsOf({ protocol = [], shots, draws, set = [] }: Options): ProtocolSettings {
  const settings: Record<string, Record<string, unknown>> = {};
  for (const name of protocol.filter(isPaper)) {
    const asked = protocolOf(name);
    const other = protocol.find((each) => each !== name && (isPaper(each) ? protocolOf(each) : each) === asked);
    if (other !== undefined) throw new Error(`${name} and ${other} are both ${asked}; ask for one after the other`);
    settings[asked] = { ...(paperEvaluations[name] as ProtocolSettings)[asked] };
  }
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

function parseProtocols(text: string): AskedProtocol[] {
  return list(text).map((name) => {
    if (isPaper(name)) return name;
    const found = measures.find((each) => each === name);
    if (found === undefined)
      throw new InvalidArgumentError(
        `unknown protocol ${name}; available: ${[...measures, ...Object.keys(paperEvaluations)].join(", ")}.`,
      );
    return found;
  });
}

function labelCount(text: string): number {
  const count = Number(text);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError("expected a whole number of at least 1, a share such as 10%, or a split file (.txt).");
}

/** Numbers, shares and paths of split files. */
function parseShots(text: string): LabelChoice[] {
  return text.split(",").map((each): LabelChoice => {
    const text = each.trim();
    if (text.endsWith(".txt")) return text;
    if (!text.endsWith("%")) return labelCount(text);
    const share = Number(text.slice(0, -1));
    if (!(share > 0 && share <= 100)) throw new InvalidArgumentError("expected a share above 0 % and up to 100 %.");
    return `${share}%`;
  });
}
