/** Two processes that are compared take turns, so that a machine that slows down slows both. */
import { type ChildProcess, spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A process that prints a line of JSON when ready, and one for each line that it reads. */
export interface Side<Answer> {
  readonly ready: Answer;
  ask(question: string): Promise<Answer>;
  close(): void;
}

/** Starts a process that speaks the protocol; it ends with this one. */
export async function open<Answer>(command: string, args: readonly string[]): Promise<Side<Answer>> {
  const child: ChildProcess = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const next = async () => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`${command} ended before it answered`);
    return JSON.parse(value) as Answer;
  };
  child.on("error", () => child.stdout!.destroy());
  return {
    ready: await next(),
    ask(question) {
      child.stdin!.write(`${question}\n`);
      return next();
    },
    close: () => child.stdin!.end(),
  };
}

export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}
