import { Command, InvalidArgumentError, Option } from "commander";
import type { Device } from "../backend/device.ts";
import { basename, isAbsolute, resolve } from "node:path";
import { type Exported, exportEncoder, type Target, targets } from "../interop/export/export.ts";
import { type StoredType, storedTypes } from "../interop/export/stored.ts";
import { imagesHelp, sourceAt } from "./data.ts";
import { checkImageOptions, type ImageOptions, withImageOptions } from "./image-options.ts";
import { deviceOption } from "./device.ts";
import { whole } from "./options.ts";
import { createOutput } from "./progress.ts";

interface Options extends ImageOptions {
  to: Target;
  out?: string;
  stage?: string;
  classes?: string;
  head: boolean;
  attention: boolean;
  dtype: StoredType;
  force: boolean;
  device?: Device;
  threads?: number;
  json: boolean;
}

export function exportCommand(): Command {
  const command = new Command("export")
    .description(
      "write an encoder for other libraries: timm, any ONNX runtime, Transformers.js and Python's transformers",
    )
    .argument("<run>", "run folder, or a checkpoint file")
    .addOption(
      new Option("--to <target>", "safetensors (timm's names), onnx (one file) or transformers (a folder)")
        .argParser(oneOf(targets))
        .makeOptionMandatory(),
    )
    .option("--out <path>", "file or folder to write (default: the run's name, here)")
    .option("--stage <name>", "of a run folder: the stage whose encoder it is (default: the last)")
    .option("--classes <images>", `train a linear classifier on labelled images and export it too: ${imagesHelp}`)
    .option("--no-head", "features, even of a fine-tuned checkpoint, which has a classifier of its own")
    .option("--attention", "also give what each token of the last block looks at", false)
    .option("--dtype <type>", "how weights are stored: fp32, fp16 or int8", oneOf(storedTypes), "fp32")
    .option("--force", "replace what is there", false)
    .addOption(deviceOption("that runs the encoder and the exported model"))
    .option("--threads <n>", "of the computation (default: all cores)", whole())
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\ndocs/export.md says how images must be prepared and what the types cost.\n" +
        "\nExamples:\n  layergraft export runs/photos --to onnx\n  layergraft export runs/pets --to transformers --classes pets-labelled\n" +
        "  layergraft export runs/pets/fine-tuned/cl.safetensors --to transformers --dtype int8",
    )
    .action(async (run: string, { json, classes, ...options }: Options) => {
      const output = createOutput({ json });
      const { out = defaultOut(run, options) } = options;
      if (classes === undefined) checkImageOptions(options, "--classes");
      const images = classes === undefined ? {} : { classes: await sourceAt(classes, output, options) };
      const exported = await exportEncoder(run, { ...options, ...images, out });
      output.say(`${describe(exported)}\n\n${usage(exported).join("\n")}`);
      output.result({ kind: "export", ...summary(exported) });
    });
  return withImageOptions(command);
}

const endings: Readonly<Record<Target, string>> = {
  safetensors: ".safetensors",
  onnx: ".onnx",
  transformers: "-transformers",
};

/** `runs/demo` → `demo.onnx`, `demo-int8.onnx`, `demo-transformers`. */
function defaultOut(run: string, { to, dtype }: Pick<Options, "to" | "dtype">): string {
  const name = basename(resolve(run)).replace(/\.safetensors$/, "");
  return `${name}${dtype === "fp32" ? "" : `-${dtype}`}${endings[to]}`;
}

/** What was written, and how far it may be trusted. */
function describe({ out, head, error }: Exported): string {
  const parts = [`wrote ${out}`];
  if (error !== undefined) parts.push(`checked: the relative error of its outputs is at most ${error.toPrecision(2)}`);
  if (head !== undefined && "accuracy" in head)
    parts.push(
      `classifier of ${head.classes.length} classes: trained on ${head.trainedOn} images, right for ` +
        `${(100 * head.accuracy).toFixed(1)} % of ${head.testedOn} others`,
    );
  else if (head !== undefined)
    parts.push(
      `with the checkpoint's own classifier: ${head.classes.slice(0, 3).join(", ")}${head.classes.length > 3 ? ", …" : ""}`,
    );
  return parts.join("\n");
}

/** Three lines that import, load and use it. */
function usage({ target, out, model, head }: Exported): string[] {
  const { imageSize, patchSize, width, depth, heads } = model;
  const text = JSON.stringify;
  if (target === "safetensors")
    return [
      "from timm.models import VisionTransformer; from safetensors.torch import load_file",
      `model = VisionTransformer(img_size=${imageSize}, patch_size=${patchSize}, embed_dim=${width}, depth=${depth}, num_heads=${heads}, num_classes=0)`,
      `model.load_state_dict(load_file(${text(out)})); features = model.eval()(images)  # [batch, ${width}]`,
    ];
  if (target === "onnx")
    return [
      `import { InferenceSession, Tensor } from ${text("onnxruntime-node")};`,
      `const session = await InferenceSession.create(${text(out)});`,
      `const { ${head === undefined ? "pooler_output" : "logits"} } = await session.run({ pixel_values: new Tensor("float32", pixels, [1, 3, ${imageSize}, ${imageSize}]) });`,
    ];
  const [task, options] =
    head === undefined
      ? (["image-feature-extraction", ", { pool: true }"] as const)
      : (["image-classification", ""] as const);
  return [
    'import { pipeline } from "@huggingface/transformers";',
    `const use = await pipeline(${text(task)}, ${text(localPath(out))});`,
    `const result = await use("photo.jpg"${options});`,
  ];
}

/** A path that Transformers.js takes for one: others are names on a hub. */
function localPath(out: string): string {
  return isAbsolute(out) || /^\.{1,2}\//.test(out) ? out : `./${out}`;
}

function summary({ target, out, head, error }: Exported) {
  const accuracy = head !== undefined && "accuracy" in head ? { accuracy: head.accuracy } : {};
  return { target, out, error, ...(head === undefined ? {} : { classes: head.classes, ...accuracy }) };
}

function oneOf<T extends string>(choices: readonly T[]): (text: string) => T {
  return (text) => {
    const found = choices.find((each) => each === text);
    if (found === undefined) throw new InvalidArgumentError(`expected one of ${choices.join(", ")}.`);
    return found;
  };
}
