// One folder in the place of another, under the feet of whoever uses it.
import { cpSync, existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** Removes a folder, or leaves it to the next build where somebody still uses it. */
function remove(folder) {
  try {
    rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  } catch {}
}

/**
 * Makes `made` the folder `out`, by two renames: between them, for an instant, there is no `out`. Of several processes that
 * do so at once one has its own there in the end. Where `out` cannot be renamed (on Windows while a file in it is open, or
 * when it is a mount) its files are replaced one by one, with a sentence that says so.
 */
export function replaceFolder(made, out) {
  const old = `${out}.${process.pid}.old`;
  try {
    for (let attempt = 1; ; attempt++) {
      remove(old);
      const reason = renamed(out, old);
      if (reason !== undefined && reason !== "ENOENT") return replaceFiles(made, out, reason);
      const problem = renamed(made, out);
      if (problem === undefined) return;
      // another build was here between our two renames
      if (existsSync(out) && attempt < 100) continue;
      renamed(old, out);
      return replaceFiles(made, out, problem);
    }
  } finally {
    remove(old);
  }
}

/** The code of the error that kept `from` from being renamed; undefined when it has its new name. */
function renamed(from, to) {
  try {
    renameSync(from, to);
    return undefined;
  } catch (error) {
    return error.code;
  }
}

function replaceFiles(made, out, reason) {
  console.warn(`${out} cannot be renamed (${reason}); its files were replaced one by one, under whoever uses them`);
  try {
    cpSync(made, out, { recursive: true, force: true });
    for (const name of readdirSync(out, { recursive: true }))
      if (!existsSync(join(made, name))) rmSync(join(out, name), { recursive: true, force: true });
  } catch (error) {
    throw new Error(`${out} is in use (${error.message}) and now partly new: end what runs from it and build again`, {
      cause: error,
    });
  }
  remove(made);
}

/** Removes what builds of `out` have left that were killed. Those of living processes stay. */
export function removeLeftovers(out) {
  const name = basename(out);
  for (const each of readdirSync(dirname(out))) {
    const [, pid] = (each.startsWith(`${name}.`) && /^\.(\d+)\.(?:new|old)$/.exec(each.slice(name.length))) || [];
    if (pid !== undefined && (Number(pid) === process.pid || !isAlive(Number(pid)))) remove(join(dirname(out), each));
  }
}

function isAlive(pid) {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return error.code === "EPERM"; // it is somebody else's
  }
}
