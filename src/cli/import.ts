import { Command, InvalidArgumentError } from "commander";
import { importWeights, type ImportReport } from "../interop/import.ts";
import { whole } from "./options.ts";
import { createOutput } from "./progress.ts";

type Channels = [number, number, number];

interface Options {
  out: string;
  heads?: number;
  decoderHeads?: number;
  encoder?: string;
  mean?: Channels;
  std?: Channels;
  strict: boolean;
  json: boolean;
}

export const encoderHelp =
  "momentum, student, model_ema or what else stands before its names (default: the one that was trained; DINO's teacher)";

export function importCommand(): Command {
  return new Command("import")
    .description(
      "make a checkpoint of weights from elsewhere: MAE, MoCo v3, layer-grafted pre-training, DINO, timm, transformers, mmpretrain, torchvision",
    )
    .argument(
      "<file>",
      "what torch.save wrote (.pth, .pth.tar), .safetensors, the index of several, or a folder with one model",
    )
    .option("--out <file>", "checkpoint to write; may not exist", "encoder.safetensors")
    .option("--heads <n>", "attention heads, where the file cannot tell", whole())
    .option("--decoder-heads <n>", "of MAE's decoder (default: 16; a narrow decoder is left out)", whole())
    .option("--encoder <name>", `which, where the file holds several: ${encoderHelp}`)
    .option("--mean <r,g,b>", "subtracted from the images it was trained on, of 0 to 1 (default: ImageNet's)", channels)
    .option("--std <r,g,b>", "by which they were divided (default: ImageNet's)", deviations)
    .option("--strict", "refuse a file of which something is missing, unexpected or of another shape", false)
    .option("--json", "print the report as JSON", false)
    .addHelpText(
      "after",
      "\ndocs/weights.md says which files can be read and where the public ones are.\n" +
        "\nExamples:\n  layergraft import mae_pretrain_vit_base.pth --out mae.safetensors\n" +
        "  layergraft import vit-s-300ep.pth.tar --heads 12\n  layergraft evaluate encoder.safetensors --data labelled",
    )
    .action(async (file: string, { json, ...options }: Options) => {
      const output = createOutput({ json });
      const report = await importWeights(file, options);
      output.say(describeImport(report));
      output.say(`wrote ${options.out}`);
      output.result(report);
    });
}

/** The report in a few lines. */
export function describeImport(report: ImportReport): string {
  const { file, format, title, encoder, model, headsFrom, positions, feature, decoder, view, viewFrom, loaded, facts } =
    report;
  const { imageSize, patchSize, width, depth, heads } = model;
  const said = Object.entries(facts).map(([name, value]) => `${name} ${value}`);
  const rows: [string, string][] = [
    ...(said.length === 0 ? [] : [["it says", said.join(", ")] as [string, string]]),
    ...(encoder === "" ? [] : [["encoder", encoder] as [string, string]]),
    ["model", `${imageSize} px, patch ${patchSize}, width ${width}, depth ${depth}, heads ${heads} (${headsFrom})`],
    [
      "positions",
      { mae: "fixed, in MAE's layout", mocov3: "fixed, in MoCo v3's layout", learned: "learned" }[positions],
    ],
    ["feature", feature === "cls" ? "class token after the final norm" : "mean of the patches, then fc_norm"],
    ["images", `mean ${view.mean.join(", ")}; std ${view.std.join(", ")} (${viewFrom})`],
    ...(decoder === undefined
      ? []
      : [
          [
            "decoder",
            `width ${decoder.decoderWidth}, depth ${decoder.decoderDepth}, heads ${decoder.decoderHeads}`,
          ] as [string, string],
        ]),
    ["loaded", `${loaded.tensors} tensors, ${loaded.numbers.toLocaleString("en")} numbers`],
    ...report.leftOut.map(({ reason, names }): [string, string] => ["left out", `${reason} (${few(names)})`]),
    ...(report.notRead.length === 0 ? [] : [["not read", objects(report.notRead)] as [string, string]]),
    ["missing", few(report.missing)],
    ["unexpected", few(report.unexpected)],
    ...report.misshapen.map(({ name }): [string, string] => ["other shape", name]),
    ...report.notes.map((note): [string, string] => ["note", note]),
  ];
  return [`${file} (${format}): ${title}`, ...rows.map(([name, value]) => `  ${name.padEnd(11)} ${value}`)].join("\n");
}

function few(names: readonly string[]): string {
  if (names.length === 0) return "nothing";
  return names.length <= 3 ? names.join(", ") : `${names.length} tensors: ${names[0]}, …`;
}

function objects(notRead: readonly string[]): string {
  const more = notRead.length > 4 ? ` and ${notRead.length - 4} other kinds of object` : "";
  return `${notRead.slice(0, 4).join(", ")}${more}: objects of Python beside the weights`;
}

/** One number for all channels, or three. */
function channels(text: string): Channels {
  const numbers = text.split(",").map(Number);
  const [r, g = r, b = r] = numbers;
  if (
    (numbers.length !== 1 && numbers.length !== 3) ||
    text.trim() === "" ||
    numbers.some((value) => !Number.isFinite(value))
  )
    throw new InvalidArgumentError("expected one number or three, such as 0.5 or 0.485,0.456,0.406.");
  return [r!, g!, b!];
}

function deviations(text: string): Channels {
  const found = channels(text);
  if (found.some((value) => value <= 0)) throw new InvalidArgumentError("expected numbers above 0.");
  return found;
}
