/** The benches run, without PyTorch, and tell PyTorch's side the sizes of the recipes. */
import { execFile } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import sharp from "sharp";
import { expect, it } from "vitest";
import { kinds, stageOf, stageTask } from "../../bench/task.ts";
import { temporaryFolder } from "../run/temporary.ts";

async function bench(name: string, ...args: readonly string[]): Promise<string> {
  const script = fileURLToPath(new URL(`../../bench/${name}.js`, import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [script, ...args]);
  return stdout;
}

const told = (kind: "mim" | "cl", name: string, size: number) =>
  stageTask(kind, stageOf(kind, name, { data: { kind: "synthetic", length: 8, size }, batch: 8 })).told as {
    readonly model: object;
    readonly views: object;
  };

it.each(kinds)("a step of %s", async (kind) => {
  const said = await bench("step", "--objective", kind, "--model", "small", "--batch", "4", "--rounds", "1");
  expect(said).toMatch(/ONNX Runtime \d+\.\d+/);
  expect(said).toMatch(/layergraft +median [\d.]+ s a step, .* peak [\d.]+ GiB\n.* operators in /);
});

it.each(["mim", "cl"])("from files to weights by %s", async (kind) => {
  const data = temporaryFolder();
  for (let i = 0; i < 8; i++) {
    const noise = { type: "gaussian", mean: 16 * i, sigma: 30 } as const;
    await sharp({ create: { width: 48, height: 40, channels: 3, background: "black", noise } })
      .jpeg()
      .toFile(join(data, `${i}.jpg`));
  }
  const short = ["--seconds", "0.2", "--warm-up", "1", "--rounds", "1"];
  const said = await bench("pipeline", "--data", data, "--objective", kind, "--batch", "4", ...short);
  expect(said).toMatch(/layergraft +median \d+ images\/s/);
});

it("PyTorch's side is told what the recipe trains", () => {
  const small = { image: 32, patch: 8, width: 96, depth: 6, heads: 3 };
  expect(told("cl", "small", 32)).toMatchObject({
    model: { ...small, mlpDim: 512, dim: 128, temperature: 0.1, momentum: 0.98, freezePatchEmbed: true },
    views: { view1: { blur: { probability: 0.5 } }, view2: { solarize: { probability: 0.1 } } },
  });
  expect(told("mim", "small", 32)).toMatchObject({
    model: { ...small, decoderWidth: 64, decoderDepth: 2, maskRatio: 0.75, normPix: true },
    views: { noise: { length: 16 } },
  });
  expect(told("cl", "vit-tiny/8", 64)).toMatchObject({ model: { width: 192, mlpDim: 1024, dim: 256 } });
  expect(told("cl", "vit-small/16", 224)).toMatchObject({ model: { width: 384, mlpDim: 4096, dim: 256 } });
});
