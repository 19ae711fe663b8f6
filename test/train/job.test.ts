/** Processes that train together come to what one comes to; needs mpirun. */
import { execFile, execFileSync } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { openSource } from "../../src/data/sources/open.ts";
import { alone, type Collective } from "../../src/collective/collective.ts";
import { lower } from "../../src/optim/groups.ts";
import { listCheckpoints, readCheckpoint } from "../../src/run/checkpoint.ts";
import { readMetrics } from "../../src/run/metrics.ts";
import { checkData, inEvery } from "../../src/train/job.ts";
import { expectAllclose } from "../helpers.ts";
import type { Task } from "./job-program.ts";
import { temporary, tiny, trainHere } from "./tiny.ts";

const program = fileURLToPath(new URL("./job-program.js", import.meta.url));
const hasMpi = (() => {
  try {
    return execFileSync("mpirun", ["--version"], { encoding: "utf8" }).includes("Open MPI");
  } catch {
    return false;
  }
})();

interface Ended {
  readonly code: number;
  readonly text: string;
}

interface RunOptions {
  /** Of mpirun; default: all processes on this machine. */
  readonly hosts?: readonly string[];
  /** May look at the job while it runs; `pid` is mpirun's. */
  onStart?(pid: number): Promise<void>;
}

/** The program on `task`. */
function run(processes: number, out: string, task: Task, options?: RunOptions): Promise<Ended> {
  return launch(processes, [program, out, JSON.stringify(task)], options);
}

function launch(processes: number, args: readonly string[], { hosts, onStart }: RunOptions = {}): Promise<Ended> {
  const where = hosts ?? ["--oversubscribe", "--bind-to", "none"];
  const launcher = ["mpirun", ...where, "-np", `${processes}`, process.execPath];
  const [command, ...rest] = [...(processes === 1 ? [process.execPath] : launcher), ...args];
  const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  return new Promise((resolve, reject) => {
    const { pid } = execFile(command!, rest, { env }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), text: stdout + stderr }),
    );
    onStart?.(pid!).catch(reject);
  });
}

/** Ids of the training processes of the run in `out`, by rank. */
function trainers(out: string): Map<number, number> {
  const lines = execFileSync("ps", ["-eo", "pid=,ppid=,args="], { encoding: "utf8" }).trim().split("\n");
  const all = lines.map((line) => /^\s*(\d+)\s+(\d+)\s+(.*)$/.exec(line)!);
  const parents = new Set(
    all.filter(([, , , args]) => args!.includes(program) && args!.includes(out)).map(([, pid]) => pid),
  );
  const own = all.filter(([, , ppid, args]) => parents.has(ppid) && args!.includes("child.js"));
  return new Map(
    own.map(([, pid]) => {
      const environment = readFileSync(`/proc/${pid}/environ`, "utf8");
      return [Number(/OMPI_COMM_WORLD_RANK=(\d+)/.exec(environment)![1]), Number(pid)];
    }),
  );
}

async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 50));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The tiny recipe in batches of `batch`, so many steps of each stage. */
function recipeOf(batch: number, steps = 20, microBatch = batch) {
  const recipe = tiny();
  const timing = { batch, microBatch, epochs: steps / 4, learningRate: 2e-3 };
  const stages = recipe.stages.map((stage) => ({ ...stage, ...timing }));
  return { ...recipe, data: { kind: "synthetic" as const, length: 4 * batch, size: 16 }, stages };
}

const finals = (out: string) => {
  const found = listCheckpoints(out).filter(({ final }) => final);
  return new Map(found.map(({ stage, path }) => [stage, readCheckpoint(path).tensors]));
};
const losses = (out: string) => readMetrics(out).map(({ loss }) => Number(loss));

/** Losses and weights of both stages. */
function expectSame(actual: string, expected: string) {
  expect(losses(actual).length).toBe(losses(expected).length);
  expectAllclose(losses(actual), losses(expected), { absolute: 1e-5, relative: 1e-5 }, "losses");
  const [first, second] = [finals(actual), finals(expected)];
  expect([...first.keys()]).toEqual(["mim", "cl"]);
  for (const [stage, tensors] of second)
    for (const [name, { data }] of tensors)
      expectAllclose(first.get(stage)!.get(name)!.data, data, { absolute: 1e-5, relative: 1e-5 }, `${stage} ${name}`);
}

describe.skipIf(!hasMpi)("a job", () => {
  it.each([2, 4])(
    "of %i processes takes the steps of one: MIM and CL",
    async (processes) => {
      const [one, many] = [join(temporary(), "one"), join(temporary(), "many")];
      const task = { recipe: recipeOf(16 * processes) };
      expect(await run(1, one, task)).toMatchObject({ code: 0 });
      expect(await run(processes, many, task)).toMatchObject({ code: 0, text: "" });
      expect(losses(one).length).toBe(40);
      expectSame(many, one);
    },
    120_000,
  );

  it("with lazy lower blocks takes the steps of one", async () => {
    const [one, many] = [join(temporary(), "one"), join(temporary(), "many")];
    const { stages, ...rest } = recipeOf(16, 20, 4);
    const lazy = stages.map((stage) =>
      stage.name === "mim" || !("rates" in stage)
        ? stage
        : { ...stage, rates: [{ match: lower(1), every: 3 }, ...stage.rates] },
    );
    const task = { recipe: { ...rest, stages: lazy } };
    expect(await run(1, one, task)).toMatchObject({ code: 0 });
    expect(await run(2, many, task)).toMatchObject({ code: 0, text: "" });
    expectSame(many, one);
  }, 120_000);

  it("whose second process dies ends with it, and goes on in another number of processes", async () => {
    const [broken, whole] = [join(temporary(), "broken"), join(temporary(), "whole")];
    const recipe = recipeOf(32, 200);
    const saved = (stage: string) => listCheckpoints(broken).some((each) => each.stage === stage);
    let pids: number[] = [];
    const ended = await run(
      2,
      broken,
      { recipe },
      {
        async onStart() {
          await until(() => existsSync(broken) && saved("cl"));
          const found = trainers(broken);
          pids = [...found.values()];
          process.kill(found.get(1)!, "SIGKILL");
        },
      },
    );
    expect(ended.code).not.toBe(0);
    expect(ended.text).toContain(
      `training process 1 on ${hostname()} ended unexpectedly (signal SIGKILL); the run can be resumed from its newest checkpoint`,
    );
    expect(pids.length).toBe(2);
    await until(() => !pids.some(isAlive));

    expect(await run(1, broken, {})).toMatchObject({ code: 0 });
    expect(await run(1, whole, { recipe })).toMatchObject({ code: 0 });
    expectSame(broken, whole);
  }, 120_000);

  it("that is asked to stop saves, and goes on bit for bit in as many processes", async () => {
    const [stopped, whole] = [join(temporary(), "stopped"), join(temporary(), "whole")];
    const recipe = recipeOf(16, 60);
    const task = { recipe: { ...recipe, stages: recipe.stages.slice(1).map((cl) => ({ ...cl, init: [] })) } };
    const onStart = async (pid: number) => {
      await until(() => existsSync(stopped) && listCheckpoints(stopped).length > 0);
      process.kill(pid, "SIGUSR2");
    };
    expect(await run(2, stopped, task, { onStart })).toMatchObject({ code: 0 });
    expect(finals(stopped).size).toBe(0);
    expect(await run(2, stopped, {})).toMatchObject({ code: 0 });
    expect(await run(2, whole, task)).toMatchObject({ code: 0 });
    expect(losses(stopped)).toEqual(losses(whole));
    expect(finals(whole).size).toBe(1);
    expect(finals(stopped)).toEqual(finals(whole));
  }, 60_000);

  it("finishes a run early, as one process does", async () => {
    const stop = () => trainHere(recipeOf(16), (event) => event.kind === "step" && event.row.step === 10);
    const [job, one] = [await stop(), await stop()];
    expect(await run(2, job, { finish: true })).toMatchObject({ code: 0 });
    expect(await run(1, one, { finish: true })).toMatchObject({ code: 0 });
    expect(listCheckpoints(job).at(-1)).toMatchObject({ stage: "mim", step: 15, final: true });
    expect(losses(job)).toHaveLength(15);
    expectAllclose(losses(job), losses(one), { absolute: 1e-5, relative: 1e-5 }, "losses");
  }, 120_000);

  it("prints its recipe and ends when that is all it is asked for", async () => {
    const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));
    const { code, text } = await launch(2, [main, "pretrain", "emoji", "--dry-run", "--json"]);
    expect(code).toBe(0);
    expect(JSON.parse(text)).toMatchObject({ name: "layer-grafted" });
  }, 60_000);

  it("is refused when its processes were not started alike", async () => {
    const out = join(temporary(), "run");
    const { code, text } = await run(2, out, { recipe: recipeOf(8), commands: ["pretrain a", "pretrain b"] });
    expect(code).toBe(1);
    const host = hostname();
    expect(text).toContain(
      `process 1 on ${host} was started by pretrain b, but process 0 on ${host} was started by pretrain a: all processes of a job need the same`,
    );
    expect(existsSync(join(out, "checkpoints"))).toBe(false);
  }, 60_000);

  it("is refused when the batch cannot be shared", async () => {
    const { code, text } = await run(2, join(temporary(), "run"), { recipe: recipeOf(9) });
    expect(code).toBe(1);
    expect(text).toContain("a batch of 9 cannot be shared by 2 processes: set batch to a multiple of 2");
  }, 60_000);
});

const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "pipe", "pipe"] });
const canIsolate = (() => {
  try {
    ip("netns", "add", "layergraft-test");
    ip("netns", "del", "layergraft-test");
    return true;
  } catch {
    return false; // not root, not Linux, or in a container that may not
  }
})();

describe.skipIf(!hasMpi || !canIsolate)("a job over a network", () => {
  // Two machines as far as a network can tell: namespaces with addresses and host names of their own, on a bridge.
  const [bridge, machines] = ["layergraft-br", ["11", "12"]];
  const address = (machine: string) => `10.77.0.${machine}`;
  const space = (machine: string) => `layergraft-${machine}`;
  const agent = join(temporary(), "agent.sh");
  const remove = () => {
    for (const args of [["link", "del", bridge], ...machines.map((machine) => ["netns", "del", space(machine)])])
      try {
        ip(...args);
      } catch {
        // was not there
      }
  };
  beforeAll(() => {
    remove();
    ip("link", "add", bridge, "type", "bridge");
    ip("addr", "add", "10.77.0.1/24", "dev", bridge);
    ip("link", "set", bridge, "up");
    for (const machine of machines) {
      ip("netns", "add", space(machine));
      ip("link", "add", `lg-${machine}`, "type", "veth", "peer", "name", "eth0", "netns", space(machine));
      ip("link", "set", `lg-${machine}`, "master", bridge, "up");
      ip("-n", space(machine), "addr", "add", `${address(machine)}/24`, "dev", "eth0");
      for (const device of ["eth0", "lo"]) ip("-n", space(machine), "link", "set", device, "up");
    }
    // what mpirun starts in place of ssh: HOST COMMAND...
    const script = `#!/bin/sh\nmachine=\${1##*.}\nshift\nexec ip netns exec layergraft-$machine unshare --uts sh -c "hostname layergraft-$machine; $*"\n`;
    writeFileSync(agent, script, { mode: 0o755 });
  });
  afterAll(remove);

  it("takes the steps of one process: MIM and CL", async () => {
    const [one, many] = [join(temporary(), "one"), join(temporary(), "many")];
    const task = { recipe: recipeOf(32) };
    const network = ["btl_tcp_if_include", "oob_tcp_if_include"].flatMap((name) => ["--mca", name, "10.77.0.0/24"]);
    const overTcp = ["--mca", "plm_rsh_agent", agent, "--mca", "pml", "ob1", "--mca", "btl", "tcp,self", ...network];
    const hosts = [...overTcp, "--host", machines.map(address).join(",")];
    expect(await run(1, one, task)).toMatchObject({ code: 0 });
    expect(await run(2, many, task, { hosts })).toMatchObject({ code: 0 });
    expectSame(many, one);
    const [sent] = ip("-n", space("12"), "-s", "-j", "link", "show", "eth0")
      .toString()
      .match(/(?<="tx":\{"bytes":)\d+/)!;
    expect(Number(sent)).toBeGreaterThan(1e6); // it did go over the network
  }, 120_000);
});

/** Process 0 of two, of which the other says `other`. */
const besides = (other: string): Collective => ({ ...alone, size: 2, gatherText: (text) => [text, other] });

it("processes that see other images are told from each other", async () => {
  const source = await openSource({ kind: "synthetic", length: 8, size: 16 });
  const more = await openSource({ kind: "synthetic", length: 9, size: 16 });
  let said = "";
  checkData({ ...besides(""), gatherText: (text) => [text, (said = text)] }, source);
  expect(() => checkData(besides(said), source)).not.toThrow();
  expect(() => checkData(besides(said), more)).toThrow(
    /^process 1 on \S+ sees 8 images \(\w{12}\), but process 0 on \S+ sees 9 images \(\w{12}\): all processes/,
  );
});

it("what fails in one process fails in all, with its name", async () => {
  const opens = () => Promise.resolve("a loader");
  const fails = () => Promise.reject(new Error("no such folder"));
  expect(await inEvery(alone, opens)).toBe("a loader");
  await expect(inEvery(alone, fails)).rejects.toThrow(/^no such folder$/);
  expect(await inEvery(besides(""), opens)).toBe("a loader");
  await expect(inEvery(besides(""), fails)).rejects.toThrow(/^process 0 on \S+: no such folder$/);
  await expect(inEvery(besides("process 1 on b: disk"), opens)).rejects.toThrow(/^process 1 on b: disk$/);
});
