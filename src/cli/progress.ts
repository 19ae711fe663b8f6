/** Progress of long work: a bar in a terminal, plain lines in a pipe, one JSON object a line for programs. */
import { printable, printableJson, printableLines } from "../tensor/text.ts";
import type { TrainEvent } from "../train/events.ts";

export interface Output {
  /** A sentence for the reader; not part of `--json` output. */
  say(text: string): void;
  event(event: TrainEvent): void;
  /** Any other long work: `done` of `total`. */
  work(what: string, done: number, total: number): void;
  /** The command's result: printed as JSON when that was asked for. */
  result(value: unknown): void;
}

interface Stage {
  readonly name: string;
  readonly epochs: number;
  readonly steps: number;
  readonly first: number;
  readonly started: number;
}

const plainEveryMs = 10_000;

export function createOutput({
  json,
  stream = process.stdout,
}: {
  json: boolean;
  stream?: NodeJS.WriteStream;
}): Output {
  if (json) {
    const line = (value: unknown) => stream.write(`${printableJson(value)}\n`);
    return { say: () => undefined, event: line, work: () => undefined, result: line };
  }
  const live = stream.isTTY;
  let stage: Stage | undefined;
  let knn: number | undefined; // as it was last measured
  let printed = 0;
  const clear = () => live && stream.write("\r\x1b[2K");
  const say = (text: string) => {
    clear();
    stream.write(`${printableLines(text)}\n`);
  };
  const update = (text: string, last: boolean) => {
    if (live) stream.write(`\r\x1b[2K${text.slice(0, (stream.columns ?? 120) - 1)}${last ? "\n" : ""}`);
    else if (last || performance.now() - printed > plainEveryMs) {
      printed = performance.now();
      stream.write(`${text}\n`);
    }
  };
  return {
    say,
    work: (what, done, total) => (done === total ? clear() : update(`${bar(done / total)} ${printable(what)}`, false)),
    result: () => undefined,
    event(event) {
      if (event.kind === "note") say(event.text);
      else if (event.kind === "stage") {
        const { stage: name, epochs, steps, from: first } = event;
        stage = { name, epochs, steps, first, started: performance.now() };
        [printed, knn] = [0, undefined];
      } else if (event.kind === "step" && stage !== undefined) {
        const step = event.row.step;
        const spent = (performance.now() - stage.started) / 1000;
        const left = (spent / Math.max(1, step - stage.first)) * (stage.steps - step);
        const number = (name: string) => Number(event.row[name]);
        if (event.row["knn.accuracy"] !== undefined) knn = number("knn.accuracy");
        const parts = [
          `${stage.name.padEnd(4)} ${bar(step / stage.steps)} epoch ${number("epoch").toFixed(1)}/${Number(stage.epochs.toFixed(2))}`,
          `loss ${number("loss").toFixed(4)}`,
          ...(knn === undefined ? [] : [`k-NN ${(100 * knn).toFixed(1)} %`]),
          `${Math.round(number("imagesPerSecond")).toLocaleString("en")} images/s`,
          step === stage.steps ? `took ${duration(spent)}` : `${duration(left)} left`,
        ];
        update(parts.join("  "), step === stage.steps);
      }
    },
  };
}

/** `1h 05m`, `3m 20s`, `12s`. */
export function duration(seconds: number): string {
  const whole = Math.round(seconds);
  const two = (n: number) => String(n).padStart(2, "0");
  if (whole >= 3600) return `${Math.floor(whole / 3600)}h ${two(Math.floor((whole % 3600) / 60))}m`;
  return whole >= 60 ? `${Math.floor(whole / 60)}m ${two(whole % 60)}s` : `${whole}s`;
}

/** Twenty blocks and the share in per cent. */
export function bar(share: number): string {
  const width = 20;
  const full = Math.round(share * width);
  return `${"█".repeat(full)}${"░".repeat(width - full)} ${String(Math.round(100 * share)).padStart(3)}%`;
}
