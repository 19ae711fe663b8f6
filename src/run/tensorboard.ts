/** TensorBoard event files: the numbers of metrics.jsonl as scalars `<stage>/<metric>`, so `tensorboard --logdir runs` works. */
import { closeSync, openSync, readdirSync, readFileSync, truncateSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import protobuf from "protobufjs";
import { z } from "zod";
import { writeAll, writing } from "./atomic.ts";
import { isAfter, type MetricRow, type Position } from "./metrics.ts";
import { frame, unframe } from "./tfrecord.ts";

/** Appends scalars to the run's event file, or starts one. */
export class TensorBoardLog {
  readonly #file: number;
  readonly #path: string;

  constructor(dir: string) {
    const existing = eventFiles(dir).at(-1);
    const path = existing ?? join(dir, `${prefix}${Math.floor(Date.now() / 1000)}.${hostname()}`);
    if (existing !== undefined) truncateSync(existing, eventsOf(existing).end);
    this.#path = path;
    this.#file = writing(path, () => openSync(path, "a"));
    if (existing === undefined) this.#write({ wallTime: Date.now() / 1000, fileVersion: "brain.Event:2" });
  }

  /** One event with a scalar for each number of the row except its step. */
  append(row: MetricRow): void {
    const value: { tag: string; simpleValue: number }[] = [];
    for (const [name, number] of Object.entries(row))
      if (name !== "step" && typeof number === "number")
        value.push({ tag: `${row.stage}/${name}`, simpleValue: number });
    this.#write({ wallTime: Date.now() / 1000, step: row.step, summary: { value } });
  }

  close(): void {
    closeSync(this.#file);
  }

  #write(event: Partial<TensorBoardEvent>): void {
    const record = frame(Event.encode(Event.create(event)).finish());
    writing(this.#path, () => writeAll(this.#file, record));
  }
}

/** Cuts the event file after `position`, as rewindMetrics does with metrics.jsonl. */
export function rewindTensorBoard(dir: string, position: Position): void {
  for (const path of eventFiles(dir)) {
    const { events, end } = eventsOf(path);
    const first = events.find(({ event }) =>
      event.summary?.value.some(({ tag }) => isAfter(tag.slice(0, tag.lastIndexOf("/")), event.step, position)),
    );
    truncateSync(path, first?.start ?? end);
  }
}

/** zod's number is finite, but a loss need not be. */
const anyNumber = z.custom<number>((value) => typeof value === "number");

/** An event as TensorBoard's protocol defines it; `wallTime` in seconds since 1970. */
const eventSchema = z.object({
  wallTime: z.number(),
  step: z.number().default(0),
  fileVersion: z.string().optional(),
  summary: z.object({ value: z.array(z.object({ tag: z.string(), simpleValue: anyNumber })) }).optional(),
});
export type TensorBoardEvent = z.infer<typeof eventSchema>;

/** All whole events of a run. */
export function readTensorBoard(dir: string): TensorBoardEvent[] {
  return eventFiles(dir).flatMap((path) => eventsOf(path).events.map(({ event }) => event));
}

const prefix = "events.out.tfevents.";

function eventFiles(dir: string): string[] {
  const names = readdirSync(dir).filter((name) => name.startsWith(prefix));
  return names.sort().map((name) => join(dir, name));
}

function eventsOf(path: string): { events: { event: TensorBoardEvent; start: number }[]; end: number } {
  const records = [...unframe(readFileSync(path))];
  const events = records.map(({ data, start }) => ({
    event: eventSchema.parse(Event.toObject(Event.decode(data), { longs: Number })),
    start,
  }));
  return { events, end: records.at(-1)?.end ?? 0 };
}

/** The fields we write of tensorflow/core/util/event.proto and framework/summary.proto. */
const Event = protobuf
  .parse(
    `syntax = "proto3";
    message Event {
      double wall_time = 1;
      int64 step = 2;
      oneof what { string file_version = 3; Summary summary = 5; }
    }
    message Summary {
      message Value { string tag = 1; oneof value { float simple_value = 2; } }
      repeated Value value = 1;
    }`,
  )
  .root.lookupType("Event");
