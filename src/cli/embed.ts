import { Command } from "commander";
import type { Device } from "../backend/device.ts";
import { resolve } from "node:path";
import { embedImages } from "../interop/embed.ts";
import { inAllSplits } from "../measure/questions.ts";
import { imagesHelp, sourceAt } from "./data.ts";
import { type ImageOptions, withImageOptions } from "./image-options.ts";
import { deviceOption } from "./device.ts";
import { interruptible } from "./interrupt.ts";
import { badShareOption, whole } from "./options.ts";
import { createOutput, duration } from "./progress.ts";
import { keptRange } from "./samples.ts";

interface Options extends ImageOptions {
  out: string;
  stage?: string;
  batch?: number;
  device?: Device;
  threads?: number;
  limit?: number;
  maxBadShare?: number;
  json: boolean;
}

export function embedCommand(): Command {
  const command = new Command("embed")
    .description("write the features of all images to a file that Python, DuckDB and layergraft search read")
    .argument("<run>", "run folder, or a checkpoint file")
    .argument("<images>", `${imagesHelp}; of images in splits all are taken`)
    .requiredOption("--out <file>", "features.parquet, or features.npy with names in a text file beside it")
    .option("--stage <name>", "of a run: the stage whose encoder it is (default: the last)")
    .option("--batch <n>", "images per run of the encoder (default: 64)", whole())
    .addOption(deviceOption("that runs the encoder"))
    .option("--threads <n>", "of the encoder (default: all cores)", whole())
    .option("--limit <n>", "use at most so many of the images, drawn evenly", whole())
    .addOption(badShareOption())
    .option("--json", "print the result as JSON", false)
    .addHelpText(
      "after",
      "\ndocs/embed.md says what the files hold and how to read them.\n" +
        "\nExamples:\n  layergraft embed runs/pets photos --out pets.parquet\n  layergraft search pets.parquet query.jpg",
    )
    .action(async (run: string, images: string, { out, json, ...options }: Options) => {
      const output = createOutput({ json });
      const started = performance.now();
      const secondsOf = () => (performance.now() - started) / 1000;
      const stopping = () => output.say("stopping; press Ctrl-C again to end at once");
      await interruptible(stopping, async (signal) => {
        let first: { done: number; seconds: number } | undefined;
        try {
          const { count, width, checkpoint, sha256, unreadable } = await embedImages(
            run,
            inAllSplits(await sourceAt(images, output, { ...options, keptRange: keptRange(run) })),
            out,
            {
              ...options,
              signal,
              onUnreadable: ({ reason }) => output.say(`left out: ${reason}`),
              onProgress(done, total) {
                const seconds = secondsOf();
                first ??= { done, seconds }; // starting is no part of the rate
                const rate = (done - first.done) / (seconds - first.seconds);
                const speed = rate > 0 ? `  ${rateText(rate)}  ${duration((total - done) / rate)} left` : "";
                output.work(`embedding${speed}`, done, total);
              },
            },
          );
          const seconds = secondsOf();
          const rate = count / seconds;
          const missing = unreadable.length === 0 ? "" : `, ${unreadable.length} left out`;
          output.say(
            `${count.toLocaleString("en")} images, ${width} numbers each${missing}: ` +
              `${resolve(out)} (${duration(seconds)}, ${rateText(rate)})`,
          );
          output.result({
            kind: "features",
            path: resolve(out),
            count,
            width,
            checkpoint: resolve(checkpoint),
            sha256,
            unreadable: unreadable.map(({ id, reason }) => ({ id, reason })),
            seconds,
          });
        } catch (error) {
          if (!signal.aborted) throw error;
          output.say("stopped; nothing was written");
          process.exitCode = 130;
        }
      });
    });
  return withImageOptions(command);
}

function rateText(rate: number): string {
  return `${rate < 10 ? rate.toFixed(1) : Math.round(rate).toLocaleString("en")} images/s`;
}
