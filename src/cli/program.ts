/** The command line as a whole: its commands, and what holds for each of them. */
import { createRequire } from "node:module";
import { Command } from "commander";
import { launched } from "../collective/launch.ts";
import { conflictCommand } from "./conflict.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { embedCommand } from "./embed.ts";
import { evaluateCommand } from "./evaluate.ts";
import { exportCommand } from "./export.ts";
import { graftPlanCommand } from "./graft-plan.ts";
import { importCommand } from "./import.ts";
import { planCommand } from "./plan.ts";
import { pretrainCommand } from "./pretrain.ts";
import { rehearseCommand } from "./rehearse.ts";
import { reportCommand } from "./report.ts";
import { searchCommand } from "./search.ts";
import { studyCommand } from "./study.ts";

const { version } = createRequire(import.meta.url)("../../../package.json") as { version: string };

/** All commands, ready to parse. */
export function createProgram(): Command {
  const program = new Command("layergraft")
    .description(
      "Pre-train a vision encoder on your own unlabelled images, see what it is worth with a few labels, use it.",
    )
    .version(version)
    .option("--verbose", "show stack traces of errors")
    .addCommand(demoCommand())
    .addCommand(pretrainCommand())
    .addCommand(planCommand())
    .addCommand(rehearseCommand())
    .addCommand(evaluateCommand())
    .addCommand(exportCommand())
    .addCommand(importCommand())
    .addCommand(embedCommand())
    .addCommand(searchCommand())
    .addCommand(conflictCommand())
    .addCommand(studyCommand())
    .addCommand(graftPlanCommand())
    .addCommand(reportCommand())
    .addCommand(doctorCommand());
  for (const command of [program, ...program.commands]) {
    const name = command === program ? "<command>" : command.name();
    command.exitOverride().showHelpAfterError(`(layergraft ${name} --help shows options and examples)`);
  }

  program.hook("preAction", (_, command) => {
    const { size, launcher } = launched() ?? { size: 1, launcher: "" };
    if (size > 1 && command.name() !== "pretrain")
      throw new Error(
        `${launcher} started ${size} processes, but layergraft ${command.name()} is one: start it without ${launcher.split(" ")[0]}`,
      );
  });
  return program;
}
