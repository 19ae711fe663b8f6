import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, truncateSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import type { TrainEvent } from "../../src/train/events.ts";
import { pretrain } from "../../src/train/pretrain.ts";
import { atStep, beforeRename, pause, sabotage, sabotaged, whileWriting } from "./sabotage.ts";
import { finalHashes, resumeHere, temporary, timelessMetrics, tiny, trainHere } from "./tiny.ts";

const straight = join(temporary(), "run");
const events: TrainEvent[] = [];
beforeAll(async () => {
  await pretrain({ recipe: tiny(), out: straight, onEvent: (event) => events.push(event) });
});

describe("an uninterrupted run", () => {
  it("tells its events in order", () => {
    const kinds = events.map(({ kind }) => kind);
    expect(kinds.slice(0, 3)).toEqual(["started", "estimate", "stage"]);
    expect(kinds.at(-1)).toBe("done");
    expect(kinds.filter((kind) => kind === "step")).toHaveLength(24);
    const estimate = events.find((event) => event.kind === "estimate")!;
    expect(estimate.stages.map(({ stage, steps }) => [stage, steps])).toEqual([
      ["mim", 12],
      ["cl", 12],
    ]);
    expect(estimate.stages.every(({ secondsPerStep, trainable }) => secondsPerStep > 0 && trainable > 1000)).toBe(true);
    expect(estimate.bytes).toBeGreaterThan(2 ** 20);
  });

  it.each([
    ["the same seed, one worker", { workers: 1 }],
    ["the same seed, two workers", { workers: 2 }],
  ])("gives bit-identical checkpoints with %s", async (_, options) => {
    const out = join(temporary(), "run");
    await pretrain({ recipe: tiny(options), out });
    const names = (hashes: Record<string, string>) => Object.keys(hashes);
    expect(finalHashes(out)).toEqual(finalHashes(straight));
    expect(names(finalHashes(out))).toEqual(["1-mim-00000012.final.safetensors", "2-cl-00000012.final.safetensors"]);
  });

  it("gives other checkpoints with another seed", async () => {
    const out = join(temporary(), "run");
    await pretrain({ recipe: tiny({ seed: 1 }), out });
    expect(Object.values(finalHashes(out))).not.toContain(Object.values(finalHashes(straight))[0]);
  });
});

describe("a run whose process dies", () => {
  it("ends, resumed, as an uninterrupted one: killed from outside", async () => {
    const out = join(temporary(), "run");
    let pid = 0;
    const onEvent = (event: TrainEvent) => {
      if (event.kind === "started") pid = event.pid;
      if (event.kind === "step" && event.row.step === 3) process.kill(pid, "SIGKILL");
    };
    const killed = sabotaged(atStep("mim", 3, pause()), () => pretrain({ recipe: tiny(), out, onEvent }));
    await expect(killed).rejects.toThrow(
      `the training process ended unexpectedly (signal SIGKILL); resume the run in ${out}`,
    );
    expect((await pretrain({ out, resume: true })).finished).toBe(true);
    expectSameEnd(out);
  });

  const kill = `process.kill(process.pid, "SIGKILL")`;
  it.each([
    ["before its first checkpoint", atStep("mim", 2, kill), "signal SIGKILL", []],
    ["in its second stage", atStep("cl", 10, kill), "signal SIGKILL", mimFinal("2-cl-00000004", "2-cl-00000008")],
    ["between its stages", atStep("mim", 12, kill), "signal SIGKILL", ["1-mim-00000004", "1-mim-00000008"]],
    ["by an exit", atStep("cl", 6, "process.exit(7)"), "exit code 7", mimFinal("2-cl-00000004")],
    ["by an exit that looks fine", atStep("mim", 5, "process.exit(0)"), "exit code 0", ["1-mim-00000004"]],
    ["by a crash", atStep("mim", 5, `process.kill(process.pid, "SIGSEGV")`), "signal SIGSEGV", ["1-mim-00000004"]],
    ["while it writes a checkpoint", whileWriting("mim-00000008"), "signal SIGKILL", ["1-mim-00000004"]],
    ["before a checkpoint has its name", beforeRename("cl-00000008"), "signal SIGKILL", mimFinal("2-cl-00000004")],
  ])("ends, resumed, as an uninterrupted one: %s", async (_, script, how, saved) => {
    const out = join(temporary(), "run");
    const command = "layergraft pretrain photos";
    await expect(sabotaged(script, () => pretrain({ recipe: tiny(), out, command }))).rejects.toThrow(
      `the training process ended unexpectedly (${how}); go on with: layergraft pretrain --resume --out ${out}`,
    );
    expect(listCheckpoints(out).map(({ path }) => basename(path, ".safetensors"))).toEqual(saved);
    await resumeHere(out);
    expectSameEnd(out);
  });

  it("passes over a checkpoint that is cut short, and says so", async () => {
    const out = await trainHere(tiny(), (event) => event.kind === "step" && event.row.step === 9);
    const newest = listCheckpoints(out).at(-1)!;
    expect(newest.step).toBe(9);
    truncateSync(newest.path, 1000);
    const events = await resumeHere(out);
    expect(events.find(({ kind }) => kind === "note")).toMatchObject({ text: expect.stringContaining(newest.path) });
    expect(events.find(({ kind }) => kind === "stage")).toMatchObject({ stage: "mim", from: 8 });
    expect(finalHashes(out)).toEqual(finalHashes(straight));
  });
});

function mimFinal(...later: string[]): string[] {
  return ["1-mim-00000012.final", ...later];
}

/** Compares what a run has left, after it was resumed, with what the uninterrupted one has. */
function expectSameEnd(out: string) {
  expect(finalHashes(out)).toEqual(finalHashes(straight));
  expect(timelessMetrics(out)).toEqual(timelessMetrics(straight));
  expect(readdirSync(join(out, "checkpoints")).filter((name) => name.endsWith(".tmp"))).toEqual([]);
}

describe("a run that is asked to stop", () => {
  it("saves, and resumed equals an uninterrupted one", async () => {
    const out = join(temporary(), "run");
    const controller = new AbortController();
    const onEvent = (event: TrainEvent) => event.kind === "step" && event.row.step === 5 && controller.abort();
    const run = () => pretrain({ recipe: tiny(), out, signal: controller.signal, onEvent });
    const { finished } = await sabotaged(atStep("mim", 5, pause(500)), run);
    expect(finished).toBe(false);
    expect(listCheckpoints(out).at(-1)!.step).toBeGreaterThanOrEqual(5);
    expect((await pretrain({ out, resume: true })).finished).toBe(true);
    expectSameEnd(out);
  });

  it("does so before its first step when it is asked at once", async () => {
    const out = join(temporary(), "run");
    expect((await pretrain({ recipe: tiny(), out, signal: AbortSignal.abort() })).finished).toBe(false);
    expect(listCheckpoints(out).map(({ step }) => step)).toEqual([0]);
  });

  it("estimates what is left when it goes on", async () => {
    const stopped = (stage: string, step: number) =>
      trainHere(tiny(), (event) => event.kind === "step" && event.row.stage === stage && event.row.step === step);
    const left = async (out: string) => {
      const events = await resumeHere(out);
      expect(events.slice(0, 3).map(({ kind }) => kind)).toEqual(["started", "estimate", "stage"]);
      return events.find((event) => event.kind === "estimate")!.stages.map(({ stage, steps }) => [stage, steps]);
    };
    expect(await left(await stopped("mim", 5))).toEqual([
      ["mim", 7],
      ["cl", 12],
    ]);
    expect(await left(await stopped("cl", 5))).toEqual([["cl", 7]]);
  });

  it("does nothing more when it is already finished", async () => {
    const files = () => readdirSync(straight, { recursive: true, encoding: "utf8" }).sort();
    const [before, hashes, metrics] = [files(), finalHashes(straight), timelessMetrics(straight)];
    const kinds: string[] = [];
    const onEvent = ({ kind }: TrainEvent) => kinds.push(kind);
    expect((await pretrain({ out: straight, resume: true, onEvent })).finished).toBe(true);
    expect(kinds).toEqual(["started", "done"]);
    expect([files(), finalHashes(straight), timelessMetrics(straight)]).toEqual([before, hashes, metrics]);
  });
});

describe("a run whose parent dies", () => {
  const module = JSON.stringify(new URL("../../src/train/pretrain.js", import.meta.url));
  // An hour of steps.
  const script = (out: string, checkpointSteps: number) => `
    const { pretrain } = await import(${module});
    const recipe = ${JSON.stringify({ ...tiny({ epochs: 50_000 }), checkpointSteps })};
    await pretrain({ recipe, out: ${JSON.stringify(out)}, onEvent: ({ kind, pid }) => {
      if (kind === "started") console.log(pid);
      if (kind === "step") console.log("step");
    } });`;
  // With a checkpoint at every step: its report follows at once, before the child can hear of its parent's death.
  const waitForDeath = `while (process.ppid === parentAtStart) ${pause(20)}`;

  const never = 1_000_000;
  it.each([
    ["is killed", "SIGKILL", "", never],
    ["is killed between two reports", "SIGKILL", atStep("mim", 1, waitForDeath), 1],
    ["loses its terminal", "SIGHUP", "", never],
  ] as const)("saves and ends when it %s", async (_, signal, preload, checkpointSteps) => {
    const out = join(temporary(), "run");
    const parent = spawn(process.execPath, ["--input-type=module", "-e", script(out, checkpointSteps)], {
      stdio: ["ignore", "pipe", "pipe"],
      detached: true, // a process group of its own, as in a terminal
      env: { ...process.env, ...sabotage(preload) },
    });
    onTestFinished(() => {
      try {
        process.kill(-parent.pid!, "SIGKILL");
      } catch {
        // nobody is left, as it should be
      }
    });
    let [printed, complaints, done] = ["", "", false];
    parent.stdout.on("data", (data: Buffer) => {
      printed += data.toString();
      if (done || !printed.includes("step")) return;
      done = true;
      process.kill(signal === "SIGHUP" ? -parent.pid! : parent.pid!, signal);
    });
    parent.stderr.on("data", (data: Buffer) => (complaints += data.toString()));
    await once(parent, "close"); // when the child has closed the pipes too
    expect(complaints).toBe("");
    const saved = listCheckpoints(out).at(-1)!;
    expect(saved).toMatchObject({ stage: "mim", final: false });
    expect(saved.step).toBeGreaterThan(0);
    expect(() => readCheckpoint(saved.path)).not.toThrow();
  });
});
