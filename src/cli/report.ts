import { resolve } from "node:path";
import { Command } from "commander";
import { drawPictures } from "../measure/pictures.ts";
import { writeReport } from "../report/report.ts";

export function reportCommand(): Command {
  return new Command("report")
    .description("write the report of a run anew, as one HTML page")
    .argument("<run>", "run folder")
    .option("--no-pictures", "leave reconstructions and neighbours as they are")
    .addHelpText("after", "\nExample:\n  layergraft report runs/demo")
    .action(async (run: string, options: { pictures: boolean }) => {
      if (options.pictures) await drawPictures(run);
      process.stdout.write(`report: ${resolve(writeReport(run))}\n`);
    });
}
