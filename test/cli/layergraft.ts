/** Runs the real command, as a user would, in a process of its own. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { encodePng } from "../../src/data/formats/png.ts";
import { openSource } from "../../src/data/sources/open.ts";

const main = fileURLToPath(new URL("../../src/cli/main.js", import.meta.url));

export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `onStart` gets the process; `onOutput` sees everything printed so far, and the process. */
export function layergraft(
  args: readonly string[],
  {
    cwd,
    onStart,
    onOutput,
  }: {
    cwd?: string;
    onStart?: (child: ChildProcess) => void;
    onOutput?: (text: string, child: ChildProcess) => void;
  } = {},
): Promise<Outcome> {
  const child = spawn(process.execPath, [main, ...args], { cwd, stdio: ["ignore", "pipe", "pipe"] });
  onStart?.(child);
  const output = { stdout: "", stderr: "" };
  for (const name of ["stdout", "stderr"] as const)
    child[name].setEncoding("utf8").on("data", (text: string) => {
      output[name] += text;
      onOutput?.(output.stdout + output.stderr, child);
    });
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, ...output }));
  });
}

/** Writes `count` small PNG drawings, in one subfolder per class or all in one folder. */
export async function writeImages(dir: string, count: number, layout: "classes" | "flat" | "nested"): Promise<string> {
  const source = await openSource({ kind: "synthetic", length: count, size: 20 });
  for (let i = 0; i < count; i++) {
    const folder = { classes: source.classes[source.label(i)]!, flat: ".", nested: `2024/day ${i % 3}` }[layout];
    mkdirSync(join(dir, folder), { recursive: true });
    writeFileSync(join(dir, folder, `${i}.png`), await encodePng(await source.load(i)));
  }
  return dir;
}

const settings = [
  "model.width=12",
  "model.heads=2",
  "model.depth=3",
  "stages.0.microBatch=8",
  "stages.0.objective.decoderWidth=8",
  "stages.0.objective.decoderHeads=2",
  "stages.1.objective.mlpDim=16",
  "stages.1.objective.dim=8",
];
/** Options that make a run as small as it can be. */
export const tiny: readonly string[] = [
  ..."--image-size 16 --patch-size 8 --epochs 2 --batch 8 --threads 1".split(" "),
  ...settings.flatMap((text) => ["--set", text]),
];
