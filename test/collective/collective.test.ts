import { describe, expect, it } from "vitest";
import { alone } from "../../src/collective/collective.ts";
import { launched, openCollective } from "../../src/collective/launch.ts";
import { inherited } from "../../src/collective/inherit.ts";

describe("launched", () => {
  const batchScript = { SLURM_JOB_ID: "7", SLURM_NTASKS: "4", SLURM_PROCID: "0" };
  it.each([
    ["nothing", {}, undefined],
    ["mpirun of Open MPI", { OMPI_COMM_WORLD_SIZE: "4", OMPI_COMM_WORLD_RANK: "3", PMIX_RANK: "3" }, [3, 4]],
    ["mpirun of MPICH", { PMI_SIZE: "2", PMI_RANK: "0", PMI_FD: "6" }, [0, 2]],
    ["srun", { ...batchScript, SLURM_PROCID: "2", SLURM_STEP_NUM_TASKS: "3", PMIX_RANK: "2" }, [2, 3]],
    ["srun", { ...batchScript, SLURM_STEP_NUM_TASKS: "1" }, [0, 1]],
    ["a batch script of Slurm", batchScript, undefined],
    ["half a launcher", { OMPI_COMM_WORLD_SIZE: "4", PMI_RANK: "1", SLURM_STEP_NUM_TASKS: "2" }, undefined],
    ["empty variables", { PMI_SIZE: "", PMI_RANK: "" }, undefined],
  ] as const)("sees %s in %j", (launcher, env, place) => {
    expect(launched(env)).toEqual(place && { launcher, rank: place[0], size: place[1] });
  });

  it.each([
    ["mpirun of Open MPI", { OMPI_COMM_WORLD_SIZE: "2", OMPI_COMM_WORLD_RANK: "1" }],
    ["mpirun of MPICH", { PMI_SIZE: "2", PMI_RANK: "1" }],
  ] as const)("believes %s inside a Slurm step", (launcher, env) => {
    const step = { SLURM_STEP_NUM_TASKS: "8", SLURM_PROCID: "5" };
    expect(launched({ ...step, ...env })).toEqual({ launcher, rank: 1, size: 2 });
  });
});

describe("alone", () => {
  it("is what a process without a launcher opens", async () => {
    expect(launched()).toBeUndefined();
    expect(await openCollective()).toBe(alone);
  });

  it("hears itself", () => {
    expect(alone).toMatchObject({ rank: 0, size: 1 });
    const values = Float32Array.of(1, 2);
    alone.allReduceSum(values);
    alone.broadcastInto(values);
    alone.barrier();
    expect(values).toEqual(Float32Array.of(1, 2));
    const all = new Float32Array(2);
    alone.allGather(values, all);
    expect(all).toEqual(values);
    expect(() => alone.allGather(values, new Float32Array(3))).toThrow("not 3");
    expect(alone.broadcast(Uint8Array.of(7))).toEqual(Uint8Array.of(7));
    expect(() => alone.broadcast()).toThrow("must pass the bytes");
    expect(alone.gatherText("größer")).toEqual(["größer"]);
  });
});

it("hands the open file of MPICH's launcher to a child under its new number", () => {
  expect(inherited({ PMI_FD: "9", PMI_RANK: "1" })).toEqual({
    stdio: ["inherit", "inherit", "inherit", "ipc", 9],
    env: { PMI_FD: "4", PMI_RANK: "1" },
  });
  expect(inherited({ A: "b" })).toEqual({ stdio: ["inherit", "inherit", "inherit", "ipc"], env: { A: "b" } });
});
