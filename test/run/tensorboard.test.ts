import { appendFileSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readTensorBoard, rewindTensorBoard, TensorBoardLog } from "../../src/run/tensorboard.ts";
import { crc32c, frame, unframe } from "../../src/run/tfrecord.ts";
import { temporaryRun } from "./temporary.ts";

// RFC 3720, appendix B.4, and the check value of the CRC catalogue.
test.each([
  [new TextEncoder().encode("123456789"), 0xe3069283],
  [new Uint8Array(0), 0],
  [new Uint8Array(32), 0x8a9136aa],
  [new Uint8Array(32).fill(0xff), 0x62a8ab43],
  [Uint8Array.from({ length: 32 }, (_, i) => i), 0x46dd794e],
])("CRC-32C, vector %#", (bytes, crc) => {
  expect(crc32c(bytes)).toBe(crc);
});

test("records are framed with masked checksums and read back until the first damaged one", () => {
  const records = [Uint8Array.of(1, 2, 3), new Uint8Array(0), Uint8Array.of(9)];
  const bytes = Buffer.concat(records.map(frame));
  expect([...unframe(bytes)].map(({ data }) => [...data])).toEqual([[1, 2, 3], [], [9]]);
  expect([...unframe(bytes.subarray(0, -1))]).toHaveLength(2);
  bytes[20]! ^= 1; // the length of the second record
  expect([...unframe(bytes)]).toHaveLength(1);
});

test("a log starts with the file version and holds the rows' numbers as scalars", () => {
  const dir = temporaryRun();
  const log = new TensorBoardLog(dir);
  log.append({ stage: "mim", step: 12, epoch: 0.5, loss: 0.25, learningRate: undefined, note: "text" });
  log.append({ stage: "mim", step: 13, loss: Number.NaN });
  log.close();
  const [first, second, third] = readTensorBoard(dir);
  expect(first).toMatchObject({ fileVersion: "brain.Event:2", step: 0 });
  expect(second).toMatchObject({
    step: 12,
    summary: {
      value: [
        { tag: "mim/epoch", simpleValue: 0.5 },
        { tag: "mim/loss", simpleValue: 0.25 },
      ],
    },
  });
  expect(third!.summary!.value[0]!.simpleValue).toBeNaN();
  expect(Math.abs(second!.wallTime - Date.now() / 1000)).toBeLessThan(60);
});

test("a resumed log continues the same file after the resumed step, and cuts a torn record", () => {
  const dir = temporaryRun();
  const write = (stage: string, steps: number[]) => {
    const log = new TensorBoardLog(dir);
    for (const step of steps) log.append({ stage, step, loss: step });
    log.close();
  };
  const events = () => readTensorBoard(dir).flatMap((e) => e.summary?.value.map(({ tag }) => `${tag} ${e.step}`) ?? []);
  write("mim", [1, 2]);
  write("cl", [1, 2, 3]);
  const [name, ...others] = readdirSync(dir).filter((file) => file.startsWith("events.out.tfevents."));
  expect(others).toEqual([]);
  appendFileSync(join(dir, name!), Uint8Array.of(1, 2, 3));
  rewindTensorBoard(dir, { stage: "cl", step: 1, stages: ["mim", "cl"] });
  expect(events()).toEqual(["mim/loss 1", "mim/loss 2", "cl/loss 1"]);
  appendFileSync(join(dir, name!), Uint8Array.of(1, 2, 3));
  write("cl", [2]);
  expect(events()).toEqual(["mim/loss 1", "mim/loss 2", "cl/loss 1", "cl/loss 2"]);
  expect(readFileSync(join(dir, name!)).subarray(0, 8).readBigUInt64LE()).toBeGreaterThan(0n);
});
