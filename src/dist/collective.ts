/** What the processes of one job say to each other. */
import { openMpi } from "./mpi.ts";

/** Every process calls the same methods in the same order with equally long values; each call waits for the others. */
export interface Collective {
  /** Number of this process, from 0. */
  readonly rank: number;
  /** Number of processes; 1: alone. */
  readonly size: number;
  /** Sum over all processes, in place, on every process. Same bits everywhere. */
  allReduceSum(values: Float32Array | Float64Array): void;
  /** Every process's equally long part, by rank, into `all` (length size * part.length). */
  allGather(part: Float32Array, all: Float32Array): void;
  /** Root 0's bytes on every process; the others pass nothing. */
  broadcast(bytes?: Uint8Array): Uint8Array;
  /** Root 0's values in place on every process. */
  broadcastInto(values: Float32Array): void;
  /** Every process's text, by rank, on every process. */
  gatherText(text: string): string[];
  /** Returns when every process has called it. */
  barrier(): void;
  /** The last call: leaves the job. */
  close(): void;
}

/** The collective of one process. */
export const alone: Collective = {
  rank: 0,
  size: 1,
  allReduceSum: () => undefined,
  allGather(part, all) {
    if (all.length !== part.length)
      throw new Error(`1 part of ${part.length} values fills as many values, not ${all.length}`);
    all.set(part);
  },
  broadcast(bytes) {
    if (bytes === undefined) throw new Error("process 0 has nothing to broadcast: it must pass the bytes");
    return bytes;
  },
  broadcastInto: () => undefined,
  gatherText: (text) => [text],
  barrier: () => undefined,
  close: () => undefined,
};

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
