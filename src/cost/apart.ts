/** Measurements in a process of their own: the memory they take is their own, and a driver that fails ends only that. */
import { fork } from "node:child_process";

export type Answer = { readonly value: unknown } | { readonly message: string; readonly stack: string };

/**
 * What the measuring process answers to `request`. Rejects with its error, or with one sentence on `what` when it ended
 * without an answer.
 */
export async function apart<T>(request: object, what: string): Promise<T> {
  const child = fork(new URL("./measure-child.js", import.meta.url), { execArgv: [], serialization: "advanced" });
  return new Promise<T>((resolve, reject) => {
    let answer: Answer | undefined;
    child.on("message", (message: Answer) => (answer = message));
    child.on("error", reject);
    child.on("close", (code, killer) => {
      if (answer !== undefined && "value" in answer) resolve(answer.value as T);
      else if (answer !== undefined) reject(Object.assign(new Error(answer.message), { stack: answer.stack }));
      else
        reject(
          new Error(
            `${what} ended unexpectedly (${killer ?? `exit code ${code}`})` +
              (killer === "SIGKILL" ? ": most likely there was too little memory; try a smaller micro-batch" : ""),
          ),
        );
    });
    child.send(request);
  });
}
