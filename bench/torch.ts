/** PyTorch's side of a bench. */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { open, type Side } from "./sides.ts";

/** What PyTorch's side says when it is ready. */
export interface TorchReady {
  readonly torch: string;
  readonly blas: string;
  readonly kernel?: string | null;
  /** Vector instructions that PyTorch's own kernels use. */
  readonly capability?: string | null;
  readonly matmulGflops: number;
  readonly versions?: string;
  /** Numbers that are parameters; not those of a momentum encoder. */
  readonly parameters: number;
}

/**
 * Starts a script of this folder, and says on the console which PyTorch it is. Undefined with a reason on the console when
 * it would be no fair opponent.
 */
export async function openTorch<Answer>(
  python: string,
  name: string,
  options: Readonly<Record<string, string | boolean>>,
): Promise<{ readonly side: Side<Answer>; readonly ready: TorchReady } | undefined> {
  const script = fileURLToPath(new URL(`../../bench/${name}`, import.meta.url)); // from dist/bench/
  const refuse = (why: string) => {
    console.log(`no comparison: ${why}`);
    process.exitCode = 1;
    return undefined;
  };
  if (!existsSync(python)) return refuse(`there is no ${python}; name one that has PyTorch with --python`);
  const args = Object.entries(options).flatMap(([option, value]) =>
    typeof value === "string" ? [`--${option}`, value] : value ? [`--${option}`] : [],
  );
  let side: Side<Answer>;
  try {
    side = await open<Answer>(python, [script, ...args]);
  } catch {
    return refuse(`${python} could not run ${script}; docs/speed.md says how to get a PyTorch`);
  }
  const ready = side.ready as TorchReady;
  const { torch, blas, kernel, capability, matmulGflops, versions } = ready;
  const details = [
    `BLAS ${blas}${kernel == null ? "" : ` for ${kernel}`}`,
    ...(capability == null ? [] : [`kernels for ${capability}`]),
    `${matmulGflops} GFLOP/s in a product of 768 x 768 matrices`,
    ...(versions === undefined ? [] : [versions]),
  ];
  console.log(`PyTorch ${torch}, ${details.join(", ")}`);
  if (blas !== "reference" || options["device"] === "cuda") return { side, ready };
  side.close();
  return refuse("this PyTorch uses the reference BLAS, some 16 times too slow; apt-get install libopenblas0-openmp");
}
