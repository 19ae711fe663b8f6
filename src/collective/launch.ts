/** Which processes this one was started with, and how it joins them. */
import { alone, type Collective } from "./collective.ts";
import { openMpi } from "./mpi.ts";

/**
 * Variables by which launchers tell a process its place; the first whose two are set decides. An mpirun inside a Slurm
 * job stands above Slurm. A batch script has SLURM_NTASKS but no step: nothing launched it several times.
 */
const launchers = [
  { launcher: "mpirun of Open MPI", size: "OMPI_COMM_WORLD_SIZE", rank: "OMPI_COMM_WORLD_RANK" },
  { launcher: "mpirun of MPICH", size: "PMI_SIZE", rank: "PMI_RANK" },
  { launcher: "srun", size: "SLURM_STEP_NUM_TASKS", rank: "SLURM_PROCID" },
];

/** Rank and size as the launcher's environment says, without loading MPI; undefined where there is no launcher. */
export function launched(
  env: NodeJS.ProcessEnv = process.env,
): { rank: number; size: number; launcher: string } | undefined {
  const found = launchers.find(({ size, rank }) => env[size] && env[rank]);
  return found && { rank: Number(env[found.rank]), size: Number(env[found.size]), launcher: found.launcher };
}

let opened: Promise<Collective> | undefined;

/**
 * The processes this one was started with (mpirun, srun), or `alone`; the same at every call, for MPI starts once in a
 * process. Throws one sentence where a launcher is seen but MPI cannot be used.
 */
export async function openCollective(): Promise<Collective> {
  const job = launched();
  if (!job || job.size === 1) return alone;
  if (job.launcher === "srun" && !process.env.PMIX_RANK)
    throw new Error(
      `srun started ${job.size} processes that cannot find each other: use srun --mpi=pmix (with MPICH --mpi=pmi2)`,
    );
  return (opened ??= openMpi(job));
}
