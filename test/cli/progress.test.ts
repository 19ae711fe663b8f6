import { Writable } from "node:stream";
import { expect, it } from "vitest";
import { createOutput } from "../../src/cli/progress.ts";

/** What is written to a pipe, or to a terminal 200 columns wide. */
function written(kind: "pipe" | "terminal", run: (output: ReturnType<typeof createOutput>) => void): string {
  const parts: string[] = [];
  const write = (chunk: Buffer, _: string, done: () => void) => {
    parts.push(chunk.toString());
    done();
  };
  const stream = Object.assign(new Writable({ write }), { isTTY: kind === "terminal", columns: 200 });
  run(createOutput({ json: false, stream: stream as unknown as NodeJS.WriteStream }));
  return parts.join("");
}

it.each(["pipe", "terminal"] as const)("the line in a %s has the last k-NN accuracy of the stage", (kind) => {
  const step = (step: number, more: Record<string, number> = {}) => ({
    kind: "step" as const,
    row: { stage: "mim", step, epoch: step, loss: 1, imagesPerSecond: 5, ...more },
    steps: 2,
    images: 8,
  });
  const begin = (stage: string) => ({ kind: "stage" as const, stage, epochs: 2, steps: 2, from: 0 });
  const text = written(kind, ({ event }) => {
    event(begin("mim"));
    event(step(1, { "knn.accuracy": 0.3123 }));
    event(step(2)); // the last line of a stage is always written
    event(begin("cl"));
    event(step(2));
  });
  expect(text).toMatch(/mim .*100% epoch 2\.0\/2 {2}loss 1\.0000 {2}k-NN 31\.2 % {2}5 images\/s/);
  expect(text).toMatch(/cl .*100% epoch 2\.0\/2 {2}loss 1\.0000 {2}5 images\/s/);
});
