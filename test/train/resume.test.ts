import { spawn } from "node:child_process";
import { readdirSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { setTimeout } from "node:timers/promises";
import { beforeAll, describe, expect, it } from "vitest";
import { listCheckpoints } from "../../src/run/checkpoint.ts";
import type { TrainEvent } from "../../src/train/loop.ts";
import { pretrain } from "../../src/train/pretrain.ts";
import { finalHashes, temporary, timelessMetrics, tiny } from "./tiny.ts";

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

describe("a killed run", () => {
  it.each([
    ["in its first stage", "mim", 6],
    ["in its second stage", "cl", 10],
    ["before its first checkpoint", "mim", 2],
  ])("ends, resumed, as an uninterrupted one: killed %s", async (_, stage, step) => {
    const out = join(temporary(), "run");
    let pid = 0;
    const killed = pretrain({
      recipe: tiny(),
      out,
      onEvent: (event) => {
        if (event.kind === "started") pid = event.pid;
        if (event.kind === "step" && event.row.stage === stage && event.row.step === step) process.kill(pid, "SIGKILL");
      },
    });
    await expect(killed).rejects.toThrow(/ended unexpectedly \(signal SIGKILL\)/);
    expect(Object.keys(finalHashes(out)).length).toBeLessThan(2);
    const { finished } = await pretrain({ out, resume: true });
    expect(finished).toBe(true);
    expect(finalHashes(out)).toEqual(finalHashes(straight));
    expect(timelessMetrics(out)).toEqual(timelessMetrics(straight));
  });

  it("passes over a checkpoint that is cut short, and says so", async () => {
    const out = join(temporary(), "run");
    const controller = new AbortController();
    await pretrain({
      recipe: tiny(),
      out,
      signal: controller.signal,
      onEvent: (event) => event.kind === "step" && event.row.step === 9 && controller.abort(),
    });
    const newest = listCheckpoints(out).at(-1)!;
    truncateSync(newest.path, 1000);
    writeFileSync(join(out, "checkpoints", `.${newest.step}.tmp`), "half");
    const notes: string[] = [];
    await pretrain({ out, resume: true, onEvent: (event) => event.kind === "note" && notes.push(event.text) });
    expect(notes.join()).toContain(newest.path);
    expect(finalHashes(out)).toEqual(finalHashes(straight));
  });
});

describe("a run that is asked to stop", () => {
  it("saves, and resumed equals an uninterrupted one", async () => {
    const out = join(temporary(), "run");
    const controller = new AbortController();
    const onEvent = (event: TrainEvent) => event.kind === "step" && event.row.step === 5 && controller.abort();
    const { finished } = await pretrain({ recipe: tiny(), out, signal: controller.signal, onEvent });
    expect(finished).toBe(false);
    expect(listCheckpoints(out).at(-1)!.step).toBeGreaterThanOrEqual(5);
    await pretrain({ out, resume: true });
    expect(finalHashes(out)).toEqual(finalHashes(straight));
    expect(timelessMetrics(out)).toEqual(timelessMetrics(straight));
  });

  it("does nothing more when it is already finished", async () => {
    const before = readdirSync(join(straight, "checkpoints"));
    expect((await pretrain({ out: straight, resume: true })).finished).toBe(true);
    expect(readdirSync(join(straight, "checkpoints"))).toEqual(before);
  });
});

it("saves and ends when its parent is killed", async () => {
  const out = join(temporary(), "run");
  const module = (name: string) => fileURLToPath(new URL(name, import.meta.url));
  const script = `
    const { pretrain } = await import(${JSON.stringify(module("../../src/train/pretrain.js"))});
    const { tiny } = await import(${JSON.stringify(module("./tiny.js"))});
    await pretrain({ recipe: tiny({ epochs: 2000 }), out: ${JSON.stringify(out)}, onEvent: (event) => {
      if (event.kind === "started") console.log(event.pid);
      if (event.kind === "step" && event.row.step > 4) process.kill(process.pid, "SIGKILL");
    } });`;
  const parent = spawn(process.execPath, ["--input-type=module", "-e", script], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let printed = "";
  parent.stdout.on("data", (data: Buffer) => (printed += data.toString()));
  await new Promise((resolve) => parent.on("exit", resolve));
  const pid = Number(printed);
  const alive = () => {
    try {
      return process.kill(pid, 0);
    } catch {
      return false;
    }
  };
  for (let i = 0; i < 200 && alive(); i++) await setTimeout(100);
  expect(alive()).toBe(false);
  const saved = listCheckpoints(out).at(-1)!;
  expect(saved.step).toBeGreaterThan(4);
  expect(saved.final).toBe(false);
});
