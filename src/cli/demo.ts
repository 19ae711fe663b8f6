import { join } from "node:path";
import { Command } from "commander";
import type { Device } from "../backend/device.ts";
import { openSource } from "../data/sources/open.ts";
import { demo, type DemoSize } from "../methods/demo.ts";
import { addNotes } from "../run/notes.ts";
import { defineRecipe } from "../recipe/recipe.ts";
import { commandLine } from "./command-line.ts";
import { deviceOption } from "./device.ts";
import { whole } from "./options.ts";
import { createOutput } from "./progress.ts";
import { defined } from "./recipe-options.ts";
import { finish, trainWithProgress } from "./training.ts";

interface Options {
  quick: boolean;
  full: boolean;
  out?: string;
  seed: number;
  device?: Device;
  threads?: number;
  resume: boolean;
  json: boolean;
}

export function demoCommand(): Command {
  return new Command("demo")
    .description("pre-train on built-in emoji drawings, evaluate, write a report: minutes on two cores")
    .option("--quick", "a minute: everything runs, little is learned", false)
    .option("--full", "two to three times as long: better than pixels in every row", false)
    .option("--out <dir>", "run folder (default: runs/demo, runs/demo-quick or runs/demo-full)")
    .option("--seed <n>", "same seed, same result", whole(0), 0)
    .addOption(deviceOption("that trains and runs the encoder"))
    .option("--threads <n>", "of the training step (default: all cores)", whole())
    .option("--resume", "go on with a demo that was stopped", false)
    .option("--json", "print events as JSON, one a line", false)
    .addHelpText("after", "\nExamples:\n  layergraft demo\n  layergraft demo --quick --out /tmp/demo")
    .action(async ({ quick, full, out, seed, device, threads, resume, json }: Options) => {
      if (quick && full) throw new Error("--quick and --full are two different demos; give one of them");
      const size: DemoSize = quick ? "quick" : full ? "full" : "standard";
      const dir = out ?? join("runs", size === "standard" ? "demo" : `demo-${size}`);
      const output = createOutput({ json });
      const recipe = defineRecipe({ ...demo(size, seed), ...defined({ device, threads }) });
      const source = await openSource(recipe.data);
      output.say(`${source.length.toLocaleString("en")} drawings, none with a label`);
      const command = commandLine();
      const { finished } = await trainWithProgress(
        resume ? { out: dir, resume, device, command } : { recipe, out: dir, command },
        output,
      );
      if (!finished) return;
      addNotes(dir, { facts: [{ name: "Images", value: `${source.length.toLocaleString("en")} emoji drawings` }] });
      await finish(dir, output, { labelled: true, device });
    });
}
