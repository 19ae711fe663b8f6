import { mkdirSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { cgroupLimits, machineBytes, ownThreads, processors, sharedProcessors } from "../../src/backend/machine.ts";
import { temporaryFolder } from "../run/temporary.ts";

/** Files as Linux shows them. */
function system(files: Readonly<Record<string, string>>): string {
  const root = temporaryFolder();
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(root, name)), { recursive: true });
    writeFileSync(join(root, name), `${text}\n`);
  }
  return root;
}

const [GiB, none] = [2 ** 30, Infinity];
const group = "sys/fs/cgroup";

test.each<[string, Record<string, string>, number, number]>([
  ["no control groups", {}, none, none],
  [
    "no limit",
    { "proc/self/cgroup": "0::/", [`${group}/memory.max`]: "max", [`${group}/cpu.max`]: "max 100000" },
    none,
    none,
  ],
  [
    "a container",
    { "proc/self/cgroup": "0::/", [`${group}/memory.max`]: String(2 * GiB), [`${group}/cpu.max`]: "200000 100000" },
    2 * GiB,
    2,
  ],
  [
    "a job whose limits lie in groups around its own",
    {
      "proc/self/cgroup": "0::/slurm/job_7/step_0",
      [`${group}/slurm/job_7/memory.max`]: String(4 * GiB),
      [`${group}/slurm/job_7/step_0/memory.max`]: "max",
      [`${group}/slurm/job_7/step_0/memory.high`]: String(3 * GiB),
      [`${group}/slurm/cpu.max`]: "150000 100000",
    },
    3 * GiB,
    1.5,
  ],
  [
    "a container of the first version, whose path is the host's",
    {
      "proc/self/cgroup": "12:cpu,cpuacct:/docker/abc\n4:memory:/docker/abc\n1:name=systemd:/docker/abc",
      [`${group}/memory/memory.limit_in_bytes`]: String(GiB),
      [`${group}/cpu,cpuacct/cpu.cfs_quota_us`]: "50000",
      [`${group}/cpu,cpuacct/cpu.cfs_period_us`]: "100000",
    },
    GiB,
    0.5,
  ],
  [
    "the first version without limits",
    {
      "proc/self/cgroup": "3:cpu:/\n4:memory:/",
      [`${group}/memory/memory.limit_in_bytes`]: "9223372036854771712",
      [`${group}/cpu/cpu.cfs_quota_us`]: "-1",
      [`${group}/cpu/cpu.cfs_period_us`]: "100000",
    },
    9223372036854771712,
    none,
  ],
])("with %s", (_, files, bytes, processors) => {
  expect(cgroupLimits(system(files))).toEqual({ bytes, processors });
});

test("is never more than the machine has", () => {
  expect(machineBytes()).toBeLessThanOrEqual(totalmem());
  expect(machineBytes()).toBeGreaterThan(2 ** 20);
  expect(processors()).toBeLessThanOrEqual(availableParallelism());
  expect(processors()).toBeGreaterThanOrEqual(1);
  expect(sharedProcessors()).toBeGreaterThanOrEqual(processors());
  expect(ownThreads() ?? cpus().length).toBeLessThanOrEqual(cpus().length);
});
