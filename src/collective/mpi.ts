/** The processes of a launched job, through MPI. All calls block and come from the main thread. */
import type { Collective } from "./collective.ts";
import { loadMpi, type Values } from "./library.ts";

/** Values in one call. MPI counts in int32, and a library's temporary memory grows with the call. */
const bucket = 2 ** 22;

/** Joins the job. Throws one sentence where MPI is missing, or does not see the processes that the launcher started. */
export async function openMpi(job: { size: number; launcher: string }): Promise<Collective> {
  const mpi = await loadMpi(job.launcher === "mpirun of MPICH");
  int((provided) => mpi.init(null, null, mpi.funneled, provided));
  const size = int((result) => mpi.commSize(mpi.world, result));
  const rank = int((result) => mpi.commRank(mpi.world, result));
  if (size !== job.size) {
    mpi.finalize();
    throw new Error(
      `${job.launcher} started ${job.size} processes, but ${mpi.name} sees ${size}: use the mpirun of that library (Slurm: srun --mpi=pmix for Open MPI, --mpi=pmi2 for MPICH), or set LAYERGRAFT_MPI to the libmpi of the launcher`,
    );
  }

  const typeOf = (values: Values) =>
    values instanceof Float32Array ? mpi.float : values instanceof Float64Array ? mpi.double : mpi.byte;
  const broadcastInto = (values: Values) => {
    for (const piece of buckets(values)) mpi.broadcast(piece, piece.length, typeOf(piece), 0, mpi.world);
  };
  const gather = (part: Values, all: Values) => {
    const type = typeOf(part);
    if (part.length > 0) mpi.allGather(part, part.length, type, all, part.length, type, mpi.world);
  };

  return {
    rank,
    size,
    allReduceSum(values) {
      for (const piece of buckets(values))
        mpi.allReduce(mpi.inPlace, piece, piece.length, typeOf(piece), mpi.sum, mpi.world);
    },
    allGather(part, all) {
      if (all.length !== size * part.length)
        throw new Error(`${size} parts of ${part.length} values fill ${size * part.length} values, not ${all.length}`);
      if (part.length >= 2 ** 31)
        throw new Error(`a part of ${part.length} values cannot be gathered: MPI counts to ${2 ** 31 - 1}`);
      gather(part, all);
    },
    broadcast(bytes) {
      if (rank === 0 && !bytes) throw new Error("process 0 has nothing to broadcast: it must pass the bytes");
      const length = Float64Array.of(bytes?.length ?? 0);
      broadcastInto(length);
      const content = rank === 0 ? bytes! : new Uint8Array(length[0]!);
      broadcastInto(content);
      return content;
    },
    broadcastInto,
    gatherText(text) {
      const bytes = new TextEncoder().encode(text);
      const lengths = new Float64Array(size);
      gather(Float64Array.of(bytes.length), lengths);
      const room = Math.max(...lengths);
      const part = new Uint8Array(room);
      part.set(bytes);
      const all = new Uint8Array(size * room);
      gather(part, all);
      return Array.from(lengths, (length, of) => new TextDecoder().decode(all.subarray(of * room, of * room + length)));
    },
    barrier: () => mpi.barrier(mpi.world),
    close: () => mpi.finalize(),
  };
}

/** What MPI writes through the address of an int. */
function int(write: (result: Int32Array) => void): number {
  const result = new Int32Array(1);
  write(result);
  return result[0]!;
}

/** Views of consecutive values, each short enough for one call. */
function* buckets(values: Values): Generator<Values> {
  for (let start = 0; start < values.length; start += bucket) yield values.subarray(start, start + bucket);
}
