/**
 * The MPI library of the launcher, called through koffi: where it is, how it passes handles, and the functions used here.
 * An error in one of them ends the whole job (MPI's default), so they return nothing.
 */
import type { LibraryHandle } from "koffi";

export type Handle = number | bigint;
export type Values = Float32Array | Float64Array | Uint8Array;

/** How a library passes handles, and its constants. */
interface Abi {
  readonly handle: "int" | "void *";
  readonly world: Handle;
  readonly sum: Handle;
  readonly byte: Handle;
  readonly float: Handle;
  readonly double: Handle;
  /** The address that says: the values are where the result goes. */
  readonly inPlace: bigint;
  /** Thread level: only the main thread calls MPI. */
  readonly funneled: number;
}

/** Constants and functions of MPI, with its argument order. */
export interface Mpi extends Abi {
  /** Kind, version and path, for people. */
  readonly name: string;
  init(argc: null, argv: null, required: number, provided: Int32Array): void;
  commSize(comm: Handle, size: Int32Array): void;
  commRank(comm: Handle, rank: Int32Array): void;
  allReduce(from: bigint, to: Values, count: number, type: Handle, op: Handle, comm: Handle): void;
  allGather(from: Values, n: number, type: Handle, to: Values, each: number, eachType: Handle, comm: Handle): void;
  broadcast(values: Values, count: number, type: Handle, root: number, comm: Handle): void;
  barrier(comm: Handle): void;
  finalize(): void;
}

/** What processes are told to install, whichever part they miss. */
const install = "apt install openmpi-bin, brew install open-mpi, or your cluster's module";

/** From Open MPI's own to MPICH's own names; those between may be either. */
const files =
  process.platform === "darwin"
    ? ["libmpi.40.dylib", "/opt/homebrew/lib/libmpi.dylib", "libmpi.dylib", "libmpi_abi.1.dylib", "libmpi.12.dylib"]
    : ["libmpi.so.40", "libmpi.so", "libmpi_abi.so.1", "libmpi_abi.so.0", "libmpich.so.12", "libmpi.so.12"];

/** Loads the library at LAYERGRAFT_MPI, or a known one, MPICH's first if so wished. Throws one sentence if there is none. */
export async function loadMpi(mpichFirst: boolean): Promise<Mpi> {
  const { default: koffi } = await import("koffi").catch((cause: unknown) => {
    throw new Error("several processes speak through MPI, which needs koffi: npm install koffi", { cause });
  });
  // UCX, below many an MPI, tries its memory hooks with sbrk(page) and sbrk(-page). V8 may have left no room above the
  // heap: then the first fails, and the second takes a page away that is in use (seen with MPICH 4.0.2 and UCX 1.13.1).
  process.env.UCX_MEM_EVENTS ??= "n";
  const own = process.env.LAYERGRAFT_MPI;
  const paths = own ? [own] : mpichFirst ? files.toReversed() : files;
  const reasons: string[] = [];
  for (const path of paths) {
    let library: LibraryHandle, version: string;
    try {
      library = koffi.load(path, { lazy: true, global: true }); // global: Open MPI's plugins use its symbols
      version = versionOf(library);
    } catch (error) {
      reasons.push((error as Error).message);
      continue;
    }
    return bind(library, abiOf(library, version, path), `${version} (${path})`);
  }
  throw new Error(
    own
      ? `LAYERGRAFT_MPI=${own} is no MPI library: ${reasons[0]}; give the path of a libmpi, or unset it`
      : `several processes speak through MPI, and no MPI library could be loaded (${paths.join(", ")}): ${install}, or set LAYERGRAFT_MPI to the path of its libmpi`,
    { cause: reasons },
  );
}

/** `Open MPI v4.1.4`. May be called before MPI is initialised. */
function versionOf(library: LibraryHandle): string {
  const text = new Uint8Array(8192); // MPICH's MPI_MAX_LIBRARY_VERSION_STRING, the largest there is
  const length = new Int32Array(1);
  library.func("int MPI_Get_library_version(void *text, void *length)")(text, length);
  const all = new TextDecoder().decode(text.subarray(0, length[0]));
  return all
    .split(/[,\n\0]/, 1)[0]!
    .replaceAll(/\s+/g, " ")
    .trim();
}

/** Constants from the mpi.h of Open MPI 4, of MPICH 4, and of the MPI 5.0 standard (chapter 20). */
function abiOf(library: LibraryHandle, version: string, path: string): Abi {
  if (isStandard(library))
    return {
      handle: "void *",
      world: 0x101n,
      sum: 0x21n,
      byte: 0x247n,
      float: 0x210n,
      double: 0x214n,
      inPlace: 1n,
      funneled: 1024,
    };
  if (version.startsWith("Open MPI")) {
    const address = (name: string) => library.symbol(`ompi_mpi_${name}`) as bigint;
    return {
      handle: "void *",
      world: address("comm_world"),
      sum: address("op_sum"),
      byte: address("byte"),
      float: address("float"),
      double: address("double"),
      inPlace: 1n,
      funneled: 1,
    };
  }
  if (/^MPICH|^Intel/.test(version))
    return {
      handle: "int",
      world: 0x44000000,
      sum: 0x58000003,
      byte: 0x4c00010d,
      float: 0x4c00040a,
      double: 0x4c00080b,
      inPlace: -1n,
      funneled: 1,
    };
  throw new Error(
    `${path} is ${version}, whose binary interface is not known here: use Open MPI, MPICH, Intel MPI or a library with the standard ABI of MPI 5 (${install})`,
  );
}

/** Libraries of MPI 5 say which ABI they were loaded with: -1 for their own. */
function isStandard(library: LibraryHandle): boolean {
  const [major, minor] = [new Int32Array(1), new Int32Array(1)];
  try {
    library.func("int MPI_Abi_get_version(void *major, void *minor)")(major, minor);
  } catch {
    return false; // older than MPI 5
  }
  return major[0] === 1;
}

function bind(library: LibraryHandle, abi: Abi, name: string): Mpi {
  const h = abi.handle;
  return {
    ...abi,
    name,
    init: library.func("int MPI_Init_thread(void *argc, void *argv, int required, void *provided)"),
    commSize: library.func(`int MPI_Comm_size(${h} comm, void *size)`),
    commRank: library.func(`int MPI_Comm_rank(${h} comm, void *rank)`),
    allReduce: library.func(`int MPI_Allreduce(void *from, void *to, int count, ${h} type, ${h} op, ${h} comm)`),
    allGather: library.func(
      `int MPI_Allgather(void *from, int n, ${h} type, void *to, int each, ${h} eachType, ${h} comm)`,
    ),
    broadcast: library.func(`int MPI_Bcast(void *values, int count, ${h} type, int root, ${h} comm)`),
    barrier: library.func(`int MPI_Barrier(${h} comm)`),
    finalize: library.func("int MPI_Finalize()"),
  };
}
