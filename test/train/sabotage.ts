/** Ways for the training process to die at an exact place: code that it loads before ours. The deaths are real. */

/** Environment in which a forked Node process breaks as told. */
export function sabotage(...scripts: string[]): { NODE_OPTIONS: string } {
  const script = [prelude, ...scripts].join("\n");
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(script)}` };
}

/** Runs `f` with the processes it starts broken as told. */
export async function sabotaged<T>(script: string, f: () => Promise<T>): Promise<T> {
  const { NODE_OPTIONS: before } = process.env;
  Object.assign(process.env, sabotage(script));
  try {
    return await f();
  } finally {
    if (before === undefined) delete process.env["NODE_OPTIONS"];
    else process.env["NODE_OPTIONS"] = before;
  }
}

/** Does `action` right after the report of a step is sent. */
export function atStep(stage: string, step: number, action: string): string {
  return `if (process.send) {
    const send = process.send.bind(process);
    process.send = (message, ...rest) => {
      const sent = send(message, ...rest);
      if (message.row?.stage === "${stage}" && message.row.step === ${step}) { ${action} }
      return sent;
    };
  }`;
}

/** Stands still for a while, or for ever: time for the parent to act. */
export function pause(milliseconds = Infinity): string {
  return `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${milliseconds});`;
}

/** Dies by SIGKILL with half of a file on the disk. */
export function whileWriting(name: string): string {
  return `const { openSync, writeSync } = fs;
    let target;
    fs.openSync = (path, ...rest) => {
      const file = openSync(path, ...rest);
      if (String(path).includes("${name}") && rest[0] === "w") target = file;
      return file;
    };
    fs.writeSync = (file, data, at, length) => {
      if (file !== target) return writeSync(file, data, at, length);
      writeSync(file, data, at, length >> 1);
      process.kill(process.pid, "SIGKILL");
    };
    syncBuiltinESMExports();`;
}

/** The disk is full from the `n`th write to a file on, whose name has `name` in it. */
export function diskFull(name: string, n = 1): string {
  return `const { openSync, writeSync } = fs;
    const targets = new Set();
    let writes = 0;
    fs.openSync = (path, ...rest) => {
      const file = openSync(path, ...rest);
      if (String(path).includes("${name}")) targets.add(file);
      else targets.delete(file);
      return file;
    };
    fs.writeSync = (file, ...rest) => {
      if (targets.has(file) && ++writes >= ${n})
        throw Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });
      return writeSync(file, ...rest);
    };
    syncBuiltinESMExports();`;
}

/** Dies by SIGKILL when a file is whole but does not yet have its name. */
export function beforeRename(name: string): string {
  return `const { renameSync } = fs;
    fs.renameSync = (from, to) =>
      to.includes("${name}") ? process.kill(process.pid, "SIGKILL") : renameSync(from, to);
    syncBuiltinESMExports();`;
}

// Whoever asks for its parent later may get another process: init adopts the children of the dead.
const prelude = `import fs from "node:fs"; import { syncBuiltinESMExports } from "node:module";
const parentAtStart = process.ppid;`;
