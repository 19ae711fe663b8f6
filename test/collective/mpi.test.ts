/** Several real processes under a real launcher; skipped where there is none. */
import { spawn, spawnSync, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished } from "vitest";

const program = fileURLToPath(new URL("job.js", import.meta.url));
const root = { OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };

/** What a command that only prints says; undefined where it cannot be run. */
function answer(command: string, ...args: string[]): string | undefined {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8", env: { ...process.env, ...root } });
  return status === 0 ? stdout : undefined;
}

/** The launchers of this machine. Debian calls them mpirun.openmpi and mpirun.mpich where both are installed. */
const kinds = [
  { kind: "Open MPI", names: ["mpirun", "mpirun.openmpi"], version: /Open MPI/, options: ["--oversubscribe"] },
  { kind: "MPICH", names: ["mpirun", "mpirun.mpich"], version: /HYDRA/, options: [] },
].map((each) => ({
  ...each,
  mpirun: each.names.find((name) => each.version.test(answer(name, "--version") ?? "")),
}));

interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

for (const { kind, mpirun, options } of kinds)
  describe.skipIf(!mpirun)(kind, () => {
    const start = (processes: number, args: readonly string[], env: NodeJS.ProcessEnv = {}) => {
      const command = [...options, "-np", `${processes}`, process.execPath, program, ...args];
      const launcher = spawn(mpirun!, command, {
        stdio: ["ignore", "pipe", "pipe"],
        env: { ...process.env, ...root, ...env },
      });
      onTestFinished(() => void launcher.kill("SIGKILL"));
      return { launcher, ended: outcome(launcher) };
    };
    const end = (processes: number, args: readonly string[], env?: NodeJS.ProcessEnv) =>
      start(processes, args, env).ended;

    it.each([2, 4])("carries everything between %i processes, with the same bits in every run", async (size) => {
      const first = await end(size, ["methods"]);
      expect(first.code, first.stderr).toBe(0);
      expect(JSON.parse(first.stdout)).toMatchObject({ size });
      expect((await end(size, ["methods"])).stdout).toBe(first.stdout);
    });

    it("reaches children of what it started, too", async () => {
      const direct = await end(3, ["methods"]);
      expect(direct.code, direct.stderr).toBe(0);
      const forked = await end(3, ["fork", "methods"]);
      expect(forked.code, forked.stderr).toBe(0);
      expect(forked.stdout).toBe(direct.stdout);
    });

    it("starts one process alone, without MPI", async () => {
      const { code, stdout, stderr } = await end(1, ["methods"], { LAYERGRAFT_MPI: "/nowhere/libmpi.so" });
      expect(code, stderr).toBe(0);
      expect(JSON.parse(stdout)).toMatchObject({ size: 1 });
    });

    it.each([[["throw"]], [["fork", "throw"]]])("ends with an error after %j", async (args) => {
      const { code, stderr } = await end(3, args);
      expect(code).not.toBe(0);
      expect(stderr).toContain("Error: the last process fails");
    });

    it.each([
      ["a process", "loop", 0],
      ["a child", "fork loop", 0],
      ["the parent of a child", "fork loop", 1],
    ] as const)("ends when %s is killed (%s), and leaves none", async (_, args, victim) => {
      const dir = mkdtempSync(join(tmpdir(), "layergraft-"));
      onTestFinished(() => rmSync(dir, { recursive: true }));
      const { launcher, ended } = start(3, [...args.split(" "), dir]);
      const places = [0, 1, 2].map((rank) => join(dir, `${rank}`));
      const idsOf = (file: string) =>
        existsSync(file) ? [...readFileSync(file, "utf8").matchAll(/\d+/g)].map(([id]) => Number(id)) : [];
      await until(() => places.every((file) => idsOf(file).length === 2) || launcher.exitCode !== null);
      const ids = places.map(idsOf);
      process.kill(ids[1]![victim]!, "SIGKILL");
      const { code } = await ended;
      expect(code).not.toBe(0);
      const all = args === "loop" ? ids.map(([id]) => id!) : ids.flat();
      expect(all).toHaveLength(args === "loop" ? 3 : 6);
      await until(() => !all.some(lives));
    });

    it("does not accept the library of another launcher", async () => {
      const other = { "Open MPI": "libmpich.so.12", MPICH: "libmpi.so.40" }[kind]!;
      const { code, stderr } = await end(2, ["methods"], { LAYERGRAFT_MPI: other });
      expect(code).not.toBe(0);
      expect(stderr).toMatch(
        /Error: (mpirun of .* started 2 processes, but .* sees 1: use|LAYERGRAFT_MPI=\S+ is no MPI)/,
      );
    });

    it("says what is wrong with LAYERGRAFT_MPI", async () => {
      const { code, stderr } = await end(2, ["methods"], { LAYERGRAFT_MPI: "/nowhere/libmpi.so" });
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/Error: LAYERGRAFT_MPI=\/nowhere\/libmpi\.so is no MPI library: .*No such file.*unset it/);
    });
  });

it("says how srun must be called", async () => {
  const env = { ...process.env, SLURM_STEP_NUM_TASKS: "2", SLURM_PROCID: "0" };
  const { code, stderr } = await outcome(spawn(process.execPath, [program, "methods"], { env }));
  expect(code).toBe(1);
  expect(stderr).toContain("Error: srun started 2 processes that cannot find each other: use srun --mpi=pmix");
});

it("says that koffi is missing", async () => {
  const module = (code: string) => `data:text/javascript,${encodeURIComponent(code)}`;
  const hook = 'export const resolve = (name, context, next) => next(name === "koffi" ? "absent" : name, context);';
  const preload = `import { register } from "node:module"; register(${JSON.stringify(module(hook))});`;
  const { code, stderr } = await outcome(
    spawn(process.execPath, ["--import", module(preload), program, "methods"], {
      env: { ...process.env, OMPI_COMM_WORLD_SIZE: "2", OMPI_COMM_WORLD_RANK: "0" },
    }),
  );
  expect(code).toBe(1);
  expect(stderr).toContain("Error: several processes speak through MPI, which needs koffi: npm install koffi");
});

async function outcome(child: ChildProcess): Promise<Outcome> {
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name]!.setEncoding("utf8").on("data", (text: string) => (output[name] += text));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, ...output };
}

/** Until the test's own time is over. */
async function until(condition: () => boolean) {
  while (!condition()) await setTimeout(20);
}

/** False for the dead, whether or not somebody has asked for their exit code. */
function lives(id: number): boolean {
  try {
    process.kill(id, 0);
  } catch {
    return false;
  }
  return !(existsSync(`/proc/${id}/stat`) && /\) Z /.test(readFileSync(`/proc/${id}/stat`, "utf8")));
}
