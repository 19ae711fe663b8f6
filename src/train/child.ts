/**
 * Entry of the training process. The runtime blocks the event loop while a step runs, so training lives in a process of
 * its own; progress, signals and pages live with the parent.
 */
import { Worker } from "node:worker_threads";
import { launched, openCollective } from "../collective/launch.ts";
import type { Device } from "../backend/device.ts";
import { openRun } from "../run/folder.ts";
import { addNotes } from "../run/notes.ts";
import { checkSame, fromFirst, shareThreads } from "./job.ts";
import type { TrainEvent } from "./events.ts";
import { train } from "./loop.ts";
import { defineRecipe, type Recipe } from "../recipe/recipe.ts";

/** Parent → child. */
export type Command =
  | {
      readonly kind: "start";
      readonly dir: string;
      readonly resume: boolean;
      readonly device: Device | undefined;
      readonly command: string;
    }
  | { readonly kind: "stop" };
/** Child → parent. */
export type Report = TrainEvent | { readonly kind: "failed"; readonly message: string; readonly stack: string };

let stop = false;
// Ctrl-C and the end of a terminal reach the whole group: the parent decides, and says "stop" or dies.
process.on("SIGINT", () => undefined);
process.on("SIGHUP", () => undefined);
process.on("SIGUSR1", () => undefined);
process.on("SIGUSR2", () => undefined);
process.on("SIGTERM", () => (stop = true));
process.on("disconnect", () => (stop = true)); // the parent died: save and end
process.on("message", (command: Command) => {
  if (command.kind === "stop") stop = true;
  else void start(command);
});

async function start({ dir, resume, device, command }: Extract<Command, { kind: "start" }>) {
  const isJob = (launched()?.size ?? 1) > 1;
  try {
    if (isJob) endWithParent(); // to join the job may take for ever, too
    const collective = await openCollective();
    checkSame(collective, command);
    const own = await fromFirst(collective, () => recipeOf(dir, device));
    const threads = own.threads ?? shareThreads(collective);
    const recipe = threads === undefined ? own : { ...own, threads };
    await train(dir, recipe, { resume, emit: send, stopRequested: () => stop, collective });
    collective.close();
  } catch (error) {
    const { message, stack = "" } = error as Error;
    send({ kind: "failed", message, stack });
    process.exitCode = 1;
    // The launcher ends the whole job when this process ends, and the parent must have told why before that.
    if (isJob) return;
  }
  process.channel?.unref(); // ends when the last report is written; to disconnect could lose it
}

/** The run's recipe on the device that was asked for, which may be another than the one that the run was begun on. */
function recipeOf(dir: string, device: Device | undefined): Recipe {
  const recipe = defineRecipe(openRun(dir).recipe);
  const { device: before = "cpu" } = recipe;
  if (device === undefined || device === before) return recipe;
  const text = `the run was begun on ${before} and goes on on ${device}: results agree to rounding only`;
  addNotes(dir, { facts: [{ name: "Device", value: `${before}, then ${device}` }] });
  send({ kind: "note", text });
  return { ...recipe, device };
}

function send(report: Report) {
  // A parent that died a moment ago cannot be written to, and the event that says so comes later.
  if (process.connected) process.send!(report, undefined, undefined, (error) => (stop ||= error !== null));
}

/**
 * Ends this process when its parent has died, as it does when the launcher ends a job. A thread of its own looks, since the
 * main one may wait for other processes for ever.
 */
function endWithParent() {
  const watch = `const { ppid } = process; setInterval(() => process.ppid === ppid || process.kill(process.pid, "SIGKILL"), 500)`;
  new Worker(watch, { eval: true }).unref();
}
