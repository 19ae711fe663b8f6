/** A forecast as tables. */
import { cpus } from "node:os";
import { processors } from "../backend/machine.ts";
import type { Forecast, StageForecast } from "../cost/forecast.ts";
import type { Recipe } from "../recipe/recipe.ts";
import { cacheBytes } from "../recipe/stage.ts";
import type { Rehearsal } from "../cost/rehearse.ts";
import { align } from "./table.ts";

export interface Measured {
  /** Of every stage; empty when the speed was given. */
  readonly rehearsals: readonly Rehearsal[];
  /** Processes that wanted to compute before. */
  readonly load: number;
}

/** What a run would take, how each number was found, and what it assumes. */
export function formatForecast(recipe: Recipe, plan: Forecast, measured: Measured): string {
  const { rehearsals } = measured;
  return [
    model(recipe, plan),
    stages(plan),
    memory(recipe, plan),
    time(plan, rehearsals),
    totals(plan),
    assumptions(recipe, plan, measured),
  ].join("\n\n");
}

type Row = readonly [what: string, value: (stage: StageForecast) => string, how?: string];

/** A column per stage, and how the numbers were found. */
function table(head: string, { stages }: Forecast, rows: readonly Row[]): string {
  return align(
    [
      [head, ...stages.map(({ stage }) => stage), ""],
      ...rows.map(([what, value, how = ""]) => [what, ...stages.map(value), how]),
    ],
    [0, stages.length + 1],
  );
}

function model({ model: { imageSize, patchSize, width, depth, heads } }: Recipe, { recipe, images }: Forecast): string {
  return (
    `${recipe} on ${whole(images)} images; model ${imageSize} px, patch ${patchSize}, width ${width}, depth ${depth}, ` +
    `heads ${heads}`
  );
}

function stages(plan: Forecast): string {
  const parameters = ({ work }: StageForecast) => work.parameters;
  const operations = ({ batch, work: { operations: each } }: StageForecast) => batch * each.perImage + each.perBatch;
  return table("a stage", plan, [
    ["batch, images", ({ batch }) => whole(batch)],
    ["micro-batch, images", ({ work }) => whole(work.microBatch)],
    ["steps", ({ steps, epochs, stepsPerEpoch }) => `${whole(epochs)} × ${whole(stepsPerEpoch)} = ${whole(steps)}`],
    ["parameters of the encoder", (stage) => count(parameters(stage).encoder), "counted, with the position table"],
    ["of the decoder", (stage) => count(parameters(stage).decoder), "counted"],
    ["of the heads", (stage) => count(parameters(stage).heads), "counted"],
    ["of these trained", (stage) => count(parameters(stage).trained), "counted"],
    [
      "GFLOP per image",
      ({ work }) => significant(work.operations.perImage / 1e9),
      "counted: matrix products, 2 per multiply-add",
    ],
    ["TFLOP of the loss over the batch", ({ work }) => significant(work.operations.perBatch / 1e12), "the same"],
    ["TFLOP per step", (stage) => significant(operations(stage) / 1e12), "the same, of all images"],
  ]);
}

function memory(recipe: Recipe, plan: Forecast): string {
  const cache = cacheBytes(recipe);
  const of =
    (kind: keyof StageForecast["work"]["bytes"]) =>
    ({ work }: StageForecast) =>
      bytes(work.bytes[kind]);
  const sum = ({ work }: StageForecast) => bytes(Object.values(work.bytes).reduce((a, b) => a + b, cache));
  return table(`memory of each of ${processes(plan.processes)}`, plan, [
    ["weights", of("weights"), "counted"],
    ["gradients", of("gradients"), "counted"],
    ["moments of AdamW", of("moments"), "counted"],
    ["momentum encoder", of("momentumEncoder"), "counted"],
    ["L1 anchor", of("anchor"), "counted"],
    ["encoded rows of the whole batch", of("encodedRows"), "counted, with their gradient"],
    ["activations of a micro-batch", of("microBatch"), "counted, at their most"],
    ["activations of the loss over the batch", of("wholeLoss"), "counted, at their most"],
    ["views in use and made ahead", of("views"), "counted"],
    [
      "decoded images",
      () => bytes(cache),
      cache < recipe.cacheMegabytes * 2 ** 20 ? "a quarter of this machine's" : "the recipe's limit",
    ],
    ["together", sum, "without what Node and the runtime add"],
  ]);
}

function time(plan: Forecast, rehearsals: readonly Rehearsal[]): string {
  const measured = (stage: string) => rehearsals.find((each) => each.stage === stage);
  const how = (what: string) => (rehearsals.length > 0 ? what : "given");
  const seconds =
    (kind: keyof StageForecast["step"]) =>
    ({ step }: StageForecast) =>
      brief(step[kind]);
  const timed: Row[] =
    rehearsals.length === 0
      ? []
      : [
          [
            "timed batch, images",
            ({ stage }) => whole(measured(stage)?.batch ?? 0),
            "one micro-batch, of contrast two",
          ],
          ["its second step", ({ stage }) => brief(measured(stage)?.seconds[1] ?? 0), "measured"],
          [
            "most memory of the timed process",
            ({ stage }) => bytes(measured(stage)?.mostBytes ?? 0),
            "measured, with the loss over the whole batch; few images",
          ],
        ];
  return table(`a step on ${processes(plan.processes)}`, plan, [
    ...timed,
    ["GFLOP/s of a process", ({ speed }) => significant(speed.operationsPerSecond / 1e9), how("from that step")],
    ["encode and back, own images", seconds("encode"), "operations / speed"],
    [
      "loss over the whole batch",
      seconds("loss"),
      `${rehearsals.length > 0 ? "measured on made-up rows" : "operations / speed"}; the same on every process`,
    ],
    ["update", seconds("update"), rehearsals.length > 0 ? "measured" : "left out"],
    ["communication", seconds("communication"), "model below"],
    ["a step", seconds("total"), "the sum"],
    ["sent by every process", ({ step }) => bytes(step.sent), "all-gather of rows, all-reduce of gradients"],
  ]);
}

function totals({ stages, totals: rows, processes: asked }: Forecast): string {
  const lines = rows.map(({ processes: count, stages: costs }) => {
    const known = costs.filter((cost) => cost !== null);
    const whole = known.length === costs.length;
    const sum = known.reduce((total, { seconds }) => total + seconds, 0);
    const talk = known.reduce((total, { step, seconds }) => total + (step.communication / step.total) * seconds, 0);
    return [
      `${count.toLocaleString("en")}${count === asked && asked > 1 ? " *" : ""}`,
      ...costs.flatMap((cost) => (cost === null ? ["–", "–"] : [brief(cost.step.total), long(cost.seconds)])),
      whole ? long(sum) : "–",
      whole ? `${((100 * talk) / sum).toFixed(1)} %` : "–",
    ];
  });
  const head = [
    "processes",
    ...stages.flatMap(({ stage }) => [`${stage}: a step`, "in all"]),
    "the run",
    "of it on the wire",
  ];
  return align([head, ...lines], []);
}

function assumptions({ workers, device = "cpu" }: Recipe, plan: Forecast, { rehearsals, load }: Measured): string {
  const { bytesPerSecond, latency } = plan.network;
  const here = `${processors()} × ${cpus()[0]?.model.trim() ?? "unknown processor"}`;
  const shared = plan.totals.some(({ stages: costs }) => costs.includes(null));
  const lines = [
    rehearsals.length > 0
      ? `Every process has a machine like this one (${here}${device === "cpu" ? "" : `, computing on ${device}`}) to itself, and is as fast on all images as on the timed ones.`
      : "Every process computes at the given speed, whatever it computes. Moving the weights is left out.",
    ...(rehearsals.length > 0 && load > 0.5
      ? [
          `There was other work on this machine while it was timed (a load of ${load.toFixed(1)}): the times are too long.`,
        ]
      : []),
    `Ring all-gather of encoded rows, N - 1 rounds, and ring all-reduce of gradients, 2 (N - 1) rounds, of 1/N of the bytes; ` +
      `${(8 * bytesPerSecond) / 1e9} Gbit/s in both directions at once and ${Number((latency * 1e6).toFixed(3))} µs a round of every ` +
      "message (an MPI may choose better algorithms). " +
      "Nothing overlaps with computing, no process waits for a slower one, and the network has room for all.",
    "The loss over the whole batch is computed on every process, so it does not shrink with their number.",
    `Images are made in time by ${workers === 0 ? "nobody else: their time is left out" : `${workers} worker thread${workers === 1 ? "" : "s"} a process`}. ` +
      "Checkpoints, watching of features and failures are left out.",
    ...(shared ? ["–: the batch cannot be shared equally by so many processes."] : []),
  ];
  return lines.map((line) => `- ${line}`).join("\n");
}

const whole = (n: number) => n.toLocaleString("en");
const processes = (n: number) => (n === 1 ? "one process" : `${whole(n)} processes`);
/** Three digits, or whole; `–` for nothing. */
function significant(n: number): string {
  if (n === 0) return "–";
  return n >= 100 ? whole(Math.round(n)) : String(Number(n.toPrecision(3)));
}

/** `85.8 M`, `6.9 k`; `–` for nothing. */
export function count(n: number): string {
  if (n === 0) return "–";
  if (n >= 1e5) return `${(n / 1e6).toFixed(1)} M`;
  return n >= 1000 ? `${(n / 1e3).toFixed(1)} k` : String(n);
}

/** `1.4 GB`, `50 MB`; `–` for nothing. */
function bytes(n: number): string {
  if (n === 0) return "–";
  if (n >= 1e9) return `${(n / 1e9).toFixed(1)} GB`;
  return n >= 1e6 ? `${(n / 1e6).toFixed(0)} MB` : `${Math.max(1, Math.round(n / 1e3))} kB`;
}

/** Seconds of a step. */
function brief(seconds: number): string {
  if (seconds === 0) return "–";
  if (seconds >= 600) return `${whole(Math.round(seconds / 60))} min`;
  return seconds >= 1 ? `${seconds.toFixed(1)} s` : `${(1000 * seconds).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
}

/** A time that may be years. */
function long(seconds: number): string {
  const [hours, days] = [seconds / 3600, seconds / 86400];
  if (days >= 730) return `${whole(Number((days / 365.25).toFixed(1)))} years`;
  if (days >= 2) return `${whole(Number(days.toFixed(1)))} days`;
  return hours >= 1 ? `${hours.toFixed(1)} hours` : `${(seconds / 60).toFixed(1)} min`;
}
