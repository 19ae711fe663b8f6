#!/usr/bin/env node
import { CommanderError } from "commander";
import { printableLines } from "../tensor/text.ts";
import { createProgram } from "./program.ts";

const program = createProgram();

// `layergraft ... | head` closes the pipe early: that is no failure.
process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : 2;
  else {
    const { message, stack } = error as Error;
    process.stderr.write(`layergraft: ${printableLines(program.opts()["verbose"] === true ? stack! : message)}\n`);
    process.exitCode = 1;
  }
}
