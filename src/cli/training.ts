/** What the training commands share: run, watch for Ctrl-C, evaluate, report. */
import { resolve } from "node:path";
import { totalSeconds } from "../cost/estimate.ts";
import type { Device } from "../backend/device.ts";
import { launched } from "../collective/launch.ts";
import { drawPictures } from "../measure/pictures.ts";
import { writeReport } from "../report/report.ts";
import type { TrainEvent } from "../train/events.ts";
import { canFinish } from "../train/finish.ts";
import { pretrain, type PretrainOptions, type PretrainResult } from "../train/pretrain.ts";
import { interruptible } from "./interrupt.ts";
import { locked } from "../run/lock.ts";
import { commandLine } from "./command-line.ts";
import { measure } from "./measure.ts";
import { duration, type Output } from "./progress.ts";

/** Trains with progress. Ctrl-C once saves and ends; twice ends at once. */
export async function trainWithProgress(options: PretrainOptions, output: Output): Promise<PretrainResult> {
  const onEvent = (event: TrainEvent) => {
    if (event.kind === "estimate") output.say(describeEstimate(event));
    output.event(event);
  };
  const stopping = () => output.say("stopping after this step; press Ctrl-C again to end at once");
  const result = await interruptible(stopping, (signal) => pretrain({ ...options, onEvent, signal }));
  if (!result.finished) {
    const { out } = options;
    const early = canFinish(out) ? `; or finish early: layergraft pretrain --resume --finish --out ${out}` : "";
    output.say(`saved; go on with: layergraft pretrain --resume --out ${out}${early}`);
    process.exitCode = 130;
  }
  return result;
}

/** Measures what the images allow, draws the pictures and writes the report. The device is by default the recipe's. */
export async function finish(
  dir: string,
  output: Output,
  { labelled, device }: { labelled: boolean; device?: Device | undefined },
): Promise<void> {
  await locked(dir, commandLine(), async () => {
    await measure(dir, output, { device, ...(labelled ? {} : { measures: ["analysis"] }) });
    output.work("drawing pictures", 0, 1);
    await drawPictures(dir, { device });
    output.work("", 1, 1);
    output.say(`report: ${resolve(writeReport(dir))}`);
  });
}

function describeEstimate(event: Extract<TrainEvent, { kind: "estimate" }>): string {
  const lines = event.stages.map(
    ({ stage, steps, secondsPerStep, trainable }) =>
      `  ${stage.padEnd(4)} ${steps.toLocaleString("en")} steps of ${secondsPerStep < 1 ? `${Math.round(1000 * secondsPerStep)} ms` : `${secondsPerStep.toFixed(1)} s`}, ` +
      `about ${duration(steps * secondsPerStep)}; ${(trainable / 1e6).toFixed(1)} M numbers are trained`,
  );
  const { size } = launched() ?? { size: 1 };
  return [
    "estimate, from a few measured steps of each stage:",
    ...lines,
    `  in all about ${duration(totalSeconds(event.stages))} and ${(event.bytes / 2 ** 30).toFixed(1)} GiB of memory` +
      (size > 1 ? ` for each of ${size} processes; what they say to each other comes on top` : ""),
  ].join("\n");
}
