/**
 * What sharing a machine costs: two processes with a thread each under mpirun, against one process with two threads, on
 * the same steps (MAE and MoCo v3, forward to AdamW, made-up images).
 *
 *     node dist/bench/processes.js --model vit-small/16 --batch 16 --micro-batch 8 --steps 3 --rounds 5
 *
 * They take turns, so that a machine that slows down slows both; medians of steps, ratios by round.
 */
import { execFileSync } from "node:child_process";
import { cpus, loadavg } from "node:os";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { fold, key, Random } from "../src/tensor/random.ts";
import { sizeOf } from "../src/tensor/shape.ts";
import { tensor } from "../src/tensor/tensor.ts";
import { presets } from "../src/nn/vit.ts";
import { openCollective } from "../src/collective/launch.ts";
import { mae } from "../src/objectives/mae.ts";
import { mocov3 } from "../src/objectives/mocov3.ts";
import { cpu } from "../src/backend/cpu.ts";
import { createStep } from "../src/step/step.ts";
import { median } from "./sides.ts";

const { values: options } = parseArgs({
  options: {
    model: { type: "string", default: "vit-small/16" },
    batch: { type: "string", default: "16" },
    "micro-batch": { type: "string", default: "8" },
    steps: { type: "string", default: "3" },
    rounds: { type: "string", default: "5" },
    processes: { type: "string", default: "2" },
    task: { type: "string" },
    threads: { type: "string", default: "1" },
  },
});
const tasks = ["mae", "mocov3"] as const;

if (options.task !== undefined) await work(options.task);
else compare();

/** Steps of one task in this process, which may be one of several. */
async function work(task: string) {
  const model = presets[options.model]!;
  const objective =
    task === "mae"
      ? mae(model, { decoderWidth: 192, decoderDepth: 4, decoderHeads: 6, maskRatio: 0.75, normPix: true })
      : mocov3(model, { mlpDim: 2048, dim: 256, temperature: 0.2, momentum: 0.99 });
  const collective = await openCollective();
  const step = await createStep(objective, {
    batch: Number(options.batch),
    microBatch: Number(options["micro-batch"]),
    rules: [],
    optimizer: { betas: [0.9, 0.95], epsilon: 1e-8, weightDecay: 0.05 },
    key: key(0),
    backend: cpu({ threads: Number(options.threads) }),
    collective,
  });
  const random = new Random(fold(key(0), "bench", collective.rank));
  const { size: microBatch } = step.microBatches;
  const fields = Object.entries(objective.fields).map(([name, shape]) => {
    const data = Float32Array.from({ length: microBatch * sizeOf(shape) }, () => random.normal());
    return [name, tensor("float32", [microBatch, ...shape], data)] as const;
  });
  const part = Object.fromEntries(fields);
  const seconds: number[] = [];
  for (let number = 0; number <= Number(options.steps); number++) {
    collective.barrier();
    const start = performance.now();
    await step.run(() => Promise.resolve(part), { number: number + 1, rate: 1e-4, progress: 0 });
    if (number > 0) seconds.push((performance.now() - start) / 1000); // the first step warms up
  }
  if (collective.rank === 0) console.log(JSON.stringify(seconds));
  collective.close();
}

function compare() {
  const processes = Number(options.processes);
  const self = fileURLToPath(import.meta.url);
  const env = { ...process.env, OMPI_ALLOW_RUN_AS_ROOT: "1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM: "1" };
  const run = (task: string, launcher: readonly string[], threads: number) => {
    const args = [self, ...process.argv.slice(2), "--task", task, "--threads", `${threads}`];
    const [command, ...rest] = [...launcher, process.execPath, ...args];
    return JSON.parse(execFileSync(command!, rest, { encoding: "utf8", env })) as number[];
  };
  const load = () => loadavg()[0]!.toFixed(2);
  console.log(`${options.model}, batch ${options.batch}, micro-batches of at most ${options["micro-batch"]}`);
  console.log(`${cpus()[0]?.model ?? "unknown processor"}, ${cpus().length} cores; load before: ${load()}`);
  for (const task of tasks) {
    const rounds = Array.from({ length: Number(options.rounds) }, () => ({
      one: median(run(task, [], processes)),
      many: median(run(task, ["mpirun", "-np", `${processes}`], 1)),
    }));
    const [one, many] = [median(rounds.map((each) => each.one)), median(rounds.map((each) => each.many))];
    const ratios = rounds.map((each) => each.one / each.many);
    const range = `${Math.min(...ratios).toFixed(2)} to ${Math.max(...ratios).toFixed(2)}`;
    console.log(
      `${task.padEnd(7)} 1 process of ${processes} threads ${one.toFixed(2)} s a step, ${processes} of 1 thread ${many.toFixed(2)} s: ` +
        `${median(ratios).toFixed(2)} times as fast (${range})`,
    );
  }
  console.log(`load after: ${load()}`);
}
