import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import type { StudyOptions } from "../../src/study/design.ts";
import type { StudyResults } from "../../src/study/results.ts";
import { runStudy, type StudyEvent } from "../../src/study/run.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { tiny } from "./tiny.ts";

// one thread each: sums of several threads may differ in their last bit
const jobs = cpus().length;
const read = (out: string, name: string) => readFileSync(join(out, name), "utf8");
const resultsIn = (out: string) => JSON.parse(read(out, "results.json")) as StudyResults;

/** Runs until an event for which `until` holds, or to the end. */
async function run(out: string, study: StudyOptions, until?: (event: StudyEvent) => boolean, again = false) {
  const controller = new AbortController();
  const events: StudyEvent[] = [];
  const { finished } = await runStudy({
    out,
    study,
    jobs,
    again,
    signal: controller.signal,
    onEvent(event) {
      events.push(event);
      if (until?.(event) === true) controller.abort();
    },
  });
  const trained = new Set(events.flatMap((each) => (each.kind === "cell" && each.state === "done" ? each.cell : [])));
  return { finished, events, trained };
}

/** Long enough for a stop to arrive while the cell trains: the parent may be busy evaluating another one. */
const { mim, cl } = tiny.settings;
const long = { ...tiny, settings: { ...tiny.settings, mim: { ...mim, epochs: 40 }, cl: { ...cl, epochs: 30 } } };

it("a study that was interrupted ends as one that was not, and nothing is trained twice", async () => {
  const whole = join(temporaryFolder(), "study");
  expect(await run(whole, long)).toMatchObject({ finished: true });

  const out = join(temporaryFolder(), "study");
  const inside = (event: StudyEvent) =>
    event.kind === "training" &&
    event.cell === "mtl-x1-s0" &&
    event.event.kind === "step" &&
    event.event.row.step === 1;
  const first = await run(out, long, inside);
  expect(first.finished).toBe(false);
  expect(first.events).toContainEqual({ kind: "cell", cell: "mtl-x1-s0", state: "stopped" });
  const second = await run(out, long);
  expect(second.finished).toBe(true);
  expect([...first.trained].filter((cell) => second.trained.has(cell))).toEqual([]);
  expect(first.trained.size + second.trained.size).toBe(6);
  const resumed = second.events.find(
    (each) => each.kind === "training" && each.cell === "mtl-x1-s0" && each.event.kind === "stage",
  );
  expect(resumed).toMatchObject({ event: { from: expect.toSatisfy((step: number) => step > 0) as number } });

  for (const name of ["results.json", "table.md", "table.csv", "few-labels.svg", "methods.svg", "conflict.svg"])
    expect(read(out, name)).toBe(read(whole, name));
  const { entries } = JSON.parse(read(out, "results.json")) as { entries: { entry: string; seeds: unknown[] }[] };
  expect(entries.map(({ entry, seeds }) => [entry, seeds.length])).toEqual([
    ["mim-first", 2],
    ["mtl", 2],
    ["layer-grafted", 2],
  ]);
  expect(read(out, "report.html")).toContain("What the paper says");
  for (const cell of readdirSync(join(out, "cells")))
    expect(readdirSync(join(out, "cells", cell, "checkpoints"))).toEqual([
      expect.stringMatching(/\.final\.safetensors$/),
    ]);

  const third = await run(out, long);
  expect([third.finished, third.trained.size]).toEqual([true, 0]);
  await expect(run(out, { ...long, seeds: 3 })).rejects.toThrow(
    "holds another study (seeds is 2 there, 3 now); go on with its own command, or choose another --out",
  );
});

it("what was measured is extended by fine-tuning and measured again on request, and nothing is trained again", async () => {
  const out = join(temporaryFolder(), "study");
  const study: StudyOptions = { ...tiny, methods: ["mim"], search: [1, 2] };
  await run(out, study);
  const before = resultsIn(out);
  const { seeds } = before.entries[0]!;
  const chosen = seeds.map(({ cell }) => cell);
  expect(chosen).toHaveLength(2);

  const fineTune = { preset: "small", labels: "50%", epochs: 1 } as const;
  const more = { ...study, evaluation: { ...study.evaluation, fineTune } };
  const { events } = await run(out, more);
  expect(events.flatMap((event) => (event.kind === "cell" ? [[event.cell, event.state]] : []))).toEqual(
    expect.arrayContaining(chosen.map((cell) => [cell, "fine-tuned"])),
  );
  expect(events.some(({ kind }) => kind === "training")).toBe(false);
  const extended = resultsIn(out);
  expect(extended.questions.at(-1)).toMatchObject({ protocol: "fine-tune", short: "fine-tuning" });
  for (const [i, { scores }] of extended.entries[0]!.seeds.entries()) {
    expect(scores.at(-1)).toBeGreaterThan(0);
    expect(scores.slice(0, -1)).toEqual(seeds[i]!.scores);
  }
  expect(JSON.parse(read(out, "study.json"))).toMatchObject({ evaluation: { fineTune } });

  // wrong numbers stay until all is measured again
  for (const file of ["baselines.json", join("cells", chosen[1]!, "evaluation.json")])
    writeFileSync(join(out, file), read(out, file).replaceAll(/("(?:mim|random)": )0\.\d+/g, "$10.99"));
  await run(out, more);
  expect(resultsIn(out)).not.toEqual(extended);
  const again = await run(out, more, undefined, true);
  expect(again.events.some((event) => event.kind === "training" && event.event.kind === "step")).toBe(false);
  expect(resultsIn(out)).toEqual(extended);

  await run(out, study); // no longer asked for
  expect(resultsIn(out)).toEqual(before);
});

it("a cell that diverges is told of, and the others go on", async () => {
  const out = join(temporaryFolder(), "study");
  const { finished, events, trained } = await run(out, { ...tiny, methods: ["mim"], seeds: 1, search: [1e30, 1] });
  expect(finished).toBe(true);
  expect([...trained]).toEqual(["mim-x1-s0"]);
  expect(events).toContainEqual({
    kind: "failed",
    cell: "mim-x1e+30-s0",
    reason: expect.stringContaining("stage mim stopped at step") as string,
  });
  const { failed } = JSON.parse(read(out, "results.json")) as { failed: { cell: string }[] };
  expect(failed.map(({ cell }) => cell)).toEqual(["mim-x1e+30-s0"]);
});

it("images that cannot be evaluated are refused before anything is trained", async () => {
  const out = join(temporaryFolder(), "study");
  const few = { ...tiny, evaluation: { data: { kind: "synthetic" as const, length: 4, size: 16 } } };
  await expect(run(out, few)).rejects.toThrow("too few to hold some back");
  expect(existsSync(out)).toBe(false);
});
