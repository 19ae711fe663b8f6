import { join, resolve } from "node:path";
import { Command, InvalidArgumentError } from "commander";
import type { Device } from "../backend/device.ts";
import { openSource } from "../data/sources/open.ts";
import { presets, type VitConfig } from "../nn/vit.ts";
import { smallImages, trainingDrawings } from "../methods/demo.ts";
import { type Method, methods } from "../methods/methods.ts";
import type { StudyOptions } from "../study/design.ts";
import type { StudyResults } from "../study/results.ts";
import { runStudy } from "../study/run.ts";
import { tableRows } from "../study/table.ts";
import { type Board, createBoard } from "./board.ts";
import { imagesHelp, sourceAt } from "./data.ts";
import { type ImageOptions, withImageOptions } from "./image-options.ts";
import { deviceOption } from "./device.ts";
import { interruptible } from "./interrupt.ts";
import { positive, whole } from "./options.ts";
import { printableJson } from "../tensor/text.ts";
import { align } from "./table.ts";

interface Options extends ImageOptions {
  evaluate?: string;
  seeds: number;
  methods: readonly Method[];
  budget: number;
  mimEpochs?: number;
  search: readonly number[];
  device?: Device;
  jobs: number;
  limit?: number;
  labelled?: number;
  model?: string;
  fineTune: boolean;
  again: boolean;
  out: string;
  quick: boolean;
  json: boolean;
}

const names = Object.keys(methods) as Method[];

export function studyCommand(): Command {
  const command = new Command("study")
    .description("train the paper's methods at one budget with several seeds, and compare them")
    .argument("[images]", imagesHelp, "emoji")
    .option("--evaluate <images>", "images with classes to evaluate on (default: the same)")
    .option("--seeds <n>", "runs of every method", whole(), 3)
    .option("--methods <list>", `comma-separated, of ${names.join(", ")} (default: all)`, parseMethods, names)
    .option("--budget <epochs>", "of CL after MIM; methods of one stage train for as much work", positive, 40)
    .option("--mim-epochs <n>", "of MIM before CL (default: 1.5 times --budget)", positive)
    .option(
      "--search <list>",
      "factors on the learning rate to choose from, alike for every method",
      parseFactors,
      [0.5, 1, 2],
    )
    .addOption(deviceOption("that trains and runs the encoders"))
    .option("--jobs <n>", "runs at a time; the cores are divided among them", whole(), 1)
    .option("--limit <n>", "train on so many of the images", whole(2))
    .option("--labelled <n>", "evaluate on so many of the images", whole(2))
    .option("--model <name>", `one of ${Object.keys(presets).join(", ")} (default: a small one for 32 pixels)`)
    .option("--fine-tune", "measure fine-tuning as well, a minute per run; a study that has ended goes on", false)
    .option("--again", "evaluate everything again, as after a change of protocol; nothing is trained again", false)
    .option("--out <dir>", "folder of the study; a study that was stopped goes on there", join("runs", "study"))
    .option("--quick", "minutes, to see that everything works: one seed, no search, few images and steps", false)
    .option("--json", "print events as JSON, one a line", false)
    .addHelpText(
      "after",
      "\nExamples:\n  layergraft study\n  layergraft study cifar10 --budget 20 --limit 10000 --search 1 --jobs 2 --out runs/cifar\n\n" +
        "Ctrl-C saves; the same command goes on, skips what is done and tries again what failed.\n" +
        "--fine-tune may be added to it later. Fine-tuning is from 10 % of the labels.",
    )
    .action(async (images: string, options: Options) => {
      const { out, device, jobs, again, json } = options;
      const board = createBoard({ json });
      const study = await studyOf(images, options, board);
      const words = process.argv.slice(2).filter((word) => word !== "--again"); // a new study needs it not
      const command = `layergraft ${words.join(" ")}`;
      const saving = () => board.say("saving; press Ctrl-C again to end at once");
      const { results, finished } = await interruptible(saving, (signal) =>
        runStudy({ out, study, device, jobs, again, command, onEvent: board.event, signal }),
      );
      board.close();
      board.say(`\n${describe(results)}\n\nreport: ${resolve(out, "report.html")}`);
      if (json) process.stdout.write(`${printableJson({ kind: "results", ...results })}\n`);
      if (finished) return;
      board.say("stopped; the same command goes on");
      process.exitCode = 130;
    });
  return withImageOptions(command);
}

/** The study of these images. Throws one sentence when there are too few or no such model. */
async function studyOf(images: string, options: Options, board: Pick<Board, "say">): Promise<StudyOptions> {
  const { evaluate, methods, fineTune, quick } = options;
  const data =
    images === "emoji"
      ? trainingDrawings
      : await sourceAt(images, board, { ...options, classesAre: "used for evaluation only" });
  const labelled = evaluate === undefined ? data : await sourceAt(evaluate, board, options);
  const [seeds, search, limit, budget] = quick
    ? [1, [1], options.limit ?? 128, 1]
    : [options.seeds, options.search, options.limit, options.budget];
  const { length } = await openSource(data);
  const count = Math.min(length, limit ?? length);
  if (count < 2) throw new Error(`${images} has ${count} image; a study needs at least 2, and better thousands`);
  const model = modelOf(options.model);
  const { mim, cl, graft } = smallImages;
  const batch = Math.min(mim.batch, count);
  // larger images have the papers' views
  const [resize, view, views] = model.imageSize <= 64 ? [model.imageSize, mim.view, cl.views] : [];
  return {
    settings: {
      data,
      model,
      resize,
      mim: { ...mim, view, batch, epochs: options.mimEpochs ?? 1.5 * budget },
      cl: { ...cl, views, batch, epochs: budget },
      graft,
    },
    methods,
    seeds,
    search,
    limit,
    evaluation: {
      data: labelled,
      limit: options.labelled,
      ...(fineTune ? { fineTune: { preset: "small", labels: "10%", epochs: quick ? 2 : 30 } } : {}),
    },
  };
}

function modelOf(name: string | undefined): VitConfig {
  const model = name === undefined ? smallImages.model : presets[name];
  if (model === undefined) throw new Error(`there is no model ${name}; available: ${Object.keys(presets).join(", ")}`);
  return model;
}

function describe(results: StudyResults): string {
  const { statements } = results;
  const table = align(tableRows(results, (shown) => shown));
  const lines = statements.map(({ claim, compared, verdict }) => `${verdict}: ${claim} (${compared})`);
  return [table, "", ...lines].join("\n");
}

function parseMethods(text: string): Method[] {
  return text.split(",").map((name) => {
    const found = names.find((each) => each === name.trim());
    if (found === undefined) throw new InvalidArgumentError(`unknown method ${name}; available: ${names.join(", ")}.`);
    return found;
  });
}

function parseFactors(text: string): number[] {
  return [...new Set(text.split(",").map(positive))];
}
