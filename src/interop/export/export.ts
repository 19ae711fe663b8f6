/** From a run folder or a checkpoint to a file or folder that other libraries load. */
import { basename } from "node:path";
import type { DeviceOptions } from "../../backend/device.ts";
import type { SourceInput } from "../../data/sources/open.ts";
import { encoderHeader, encoderParameters, readEncoder, type SavedEncoder } from "../../evaluators/encoder.ts";
import { writeFileAtomic } from "../../run/atomic.ts";
import { writeWeights } from "../../run/checkpoint.ts";
import { type TrainedHead, trainHead } from "./head.ts";
import { type Exportable, type Head, headIn } from "./model.ts";
import { checkOnnx, exportOnnx, type OnnxOptions } from "./onnx.ts";
import { publish } from "./publish.ts";
import { writeTransformers } from "./transformers.ts";
import type { StoredType } from "./stored.ts";

/** `safetensors`: the encoder under timm's names. `onnx`: one file. `transformers`: a folder for Hugging Face's libraries. */
export const targets = ["safetensors", "onnx", "transformers"] as const;
export type Target = (typeof targets)[number];

/** Device and threads: of the classifier's features and of the check. */
export interface ExportOptions extends DeviceOptions {
  readonly to: Target;
  readonly out: string;
  /** Of a run folder: the stage; default: the last. */
  readonly stage?: string;
  /** Labelled images to train a linear classifier on. A fine-tuned checkpoint has its own. */
  readonly classes?: SourceInput;
  /** False: features even if the checkpoint has a classifier. */
  readonly head?: boolean;
  readonly attention?: boolean;
  readonly dtype?: StoredType;
  /** Replace what is at `out`. */
  readonly force?: boolean;
}

export interface Exported {
  readonly target: Target;
  readonly out: string;
  readonly model: Exportable["model"];
  readonly head?: Head | TrainedHead;
  /** Largest relative error of an output, of a model that was run. */
  readonly error?: number;
}

/** Writes the export, which appears at `out` once it has been checked. Throws one sentence for what cannot be exported. */
export async function exportEncoder(path: string, options: ExportOptions): Promise<Exported> {
  const { to, out, stage, attention = false, dtype = "fp32", force = false, device, threads } = options;
  if (to === "safetensors") refuseForWeights(options);
  return publish(out, force, async (temporary) => {
    const saved = readEncoder(path, stage);
    const { model } = saved;
    const where = { device, threads };
    const origin = originOf(saved, path);
    if (to === "safetensors") {
      writeTimm(temporary, saved, origin);
      return { target: to, out, model };
    }
    const head = await headFor(saved, options, where);
    const onnx: OnnxOptions = { attention, dtype, origin, ...(head === undefined ? {} : { head }) };
    let error: number;
    if (to === "onnx") {
      writeFileAtomic(temporary, exportOnnx(saved, onnx));
      error = await checkOnnx(temporary, saved, onnx, where);
    } else error = await writeTransformers(temporary, saved, onnx, where);
    return { target: to, out, model, error, ...(head === undefined ? {} : { head }) };
  });
}

/** The encoder alone under timm's names; the header keeps what `loadEncoder` needs. */
export function writeTimm(
  path: string,
  { model, view, range, parameters }: Exportable & Pick<Partial<SavedEncoder>, "range">,
  origin: string,
): void {
  const header = encoderHeader({ model, view, range });
  writeWeights(path, encoderParameters(model, parameters), { format: "pt", ...header, origin });
}

function refuseForWeights({ classes, attention = false, dtype = "fp32" }: ExportOptions) {
  const asked =
    classes !== undefined ? "--classes" : attention ? "--attention" : dtype !== "fp32" ? "--dtype" : undefined;
  if (asked !== undefined)
    throw new Error(
      `${asked} belongs to a model that runs (--to onnx or transformers); safetensors holds weights alone`,
    );
}

async function headFor(
  saved: SavedEncoder,
  { classes, head = true }: ExportOptions,
  where: DeviceOptions,
): Promise<Head | TrainedHead | undefined> {
  if (classes !== undefined) return trainHead(saved, classes, where);
  const names = saved.metadata["classes"];
  return head ? headIn(saved.parameters, names === undefined ? undefined : (JSON.parse(names) as string[])) : undefined;
}

/** `demo, stage cl, step 2640, sha256 ab43b7060b02`: names and checksum, no path and no time. */
function originOf({ metadata: { stage, step, sha256 } }: SavedEncoder, path: string): string {
  const place = stage === undefined ? [] : [`stage ${stage}`, `step ${step}`];
  return [basename(path), ...place, `sha256 ${sha256!.slice(0, 12)}`].join(", ");
}
