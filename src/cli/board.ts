/** Progress of a study: a line per cell in training and one for the whole; plain lines in a pipe; JSON for programs. */
import type { CellState, StudyEvent } from "../study/run.ts";
import { printableJson, printableLines } from "../tensor/text.ts";
import { bar, duration } from "./progress.ts";

export interface Board {
  event(event: StudyEvent): void;
  /** A sentence for the reader; not part of `--json` output. */
  say(text: string): void;
  /** Takes the lines of what is in training off the screen. */
  close(): void;
}

interface Training {
  readonly started: number;
  /** Steps done when this start began. */
  readonly from: number;
  readonly text: string;
}

const liveEveryMs = 100;
const plainEveryMs = 30_000;

export function createBoard({ json, stream = process.stdout }: { json: boolean; stream?: NodeJS.WriteStream }): Board {
  if (json)
    return {
      event: (event) => stream.write(`${printableJson(event)}\n`),
      say: () => undefined,
      close: () => undefined,
    };
  const live = stream.isTTY;
  const started = performance.now();
  const cells = new Map<string, Training>();
  let whole = { done: 0, failed: 0, cells: 0 };
  let before: number | undefined;
  let drawn = 0;
  let printed = started;

  const summary = () => {
    const { done, failed, cells } = whole;
    const finished = done + failed - (before ?? 0);
    const left = ((performance.now() - started) / 1000 / finished) * (cells - done - failed);
    const parts = [`${done} of ${cells} cells done`];
    if (failed > 0) parts.push(`${failed} failed`);
    if (finished > 0 && left > 0) parts.push(`about ${duration(left)} left`);
    return parts.join(", ");
  };
  const clear = () => {
    if (drawn > 0) stream.write(`\r\x1b[${drawn}A\x1b[J`);
    drawn = 0;
  };
  const draw = (always = false) => {
    if (!always && performance.now() - printed < (live ? liveEveryMs : plainEveryMs)) return;
    printed = performance.now();
    const width = (stream.columns ?? 120) - 1;
    const lines = [...cells].map(([cell, { text }]) => `${cell.padEnd(24)} ${text}`);
    clear();
    if (live) lines.push(summary());
    for (const line of lines) stream.write(`${line.slice(0, width)}\n`);
    if (live) drawn = lines.length;
  };
  const say = (text: string) => {
    clear();
    stream.write(`${printableLines(text)}\n`);
    if (live) draw(true);
  };
  return {
    say,
    close: clear,
    event(event) {
      if (event.kind === "study") {
        whole = event;
        before ??= event.done;
      } else if (event.kind === "failed") {
        cells.delete(event.cell);
        say(`${event.cell} failed: ${event.reason}`);
      } else if (event.kind === "cell") {
        const { cell, state } = event;
        const begun = cells.get(cell)?.started ?? performance.now();
        const took = duration((performance.now() - begun) / 1000);
        const ended: { [state in CellState]?: string } = {
          done: `done in ${took}`,
          stopped: "saved, to go on later",
          "fine-tuned": `fine-tuned in ${took}`,
          measured: `conflict measured in ${took}`,
        };
        const text = ended[state];
        if (text !== undefined) {
          cells.delete(cell);
          say(`${cell.padEnd(24)} ${text}`);
        } else cells.set(cell, { started: begun, from: 0, text: state });
      } else {
        const { cell, event: training } = event;
        const { started: begun, from } = cells.get(cell)!;
        if (training.kind === "stage")
          cells.set(cell, { started: performance.now(), from: training.from, text: "training" });
        else if (training.kind === "note") say(`${cell.padEnd(24)} ${training.text}`);
        else if (training.kind === "step") {
          const { row, steps } = training;
          const rate = (performance.now() - begun) / 1000 / (row.step - from);
          const text = [
            bar(row.step / steps),
            `loss ${Number(row["loss"]).toFixed(4)}`,
            `${Math.round(Number(row["imagesPerSecond"])).toLocaleString("en")} images/s`,
            `${duration(rate * (steps - row.step))} left`,
          ].join("  ");
          cells.set(cell, { started: begun, from, text });
        }
      }
      draw();
    },
  };
}
