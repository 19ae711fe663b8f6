// Builds dist/: WebAssembly kernels from assembly/*.ts, then TypeScript. Nothing here is needed by an installed package.
// It is made beside dist/ and takes its place when it is whole, so that what runs from dist/ never misses a file. A module
// that such a process loads later is the new one.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { removeLeftovers, replaceFolder } from "./replace-folder.mjs";

const out = "dist";
const made = `${out}.${process.pid}.new`; // as deep as dist/, for the paths in source maps
const bin = (name) => join("node_modules", ".bin", process.platform === "win32" ? `${name}.cmd` : name);
const run = (name, args) => execFileSync(bin(name), args, { stdio: "inherit", shell: process.platform === "win32" });

// A signal is heard when the compiler at work has ended: nobody is left who writes into what is then removed.
let signal;
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.once(name, () => (signal ??= name));
const heard = async () => {
  await new Promise((resolve) => setImmediate(resolve));
  if (signal !== undefined) throw new Error(`stopped by ${signal}`);
};

let kept = `; ${out}/ is as it was`;

try {
  removeLeftovers(out);
  mkdirSync(join(made, "src", "kernels"), { recursive: true });
  for (const file of readdirSync("assembly").filter((f) => f.endsWith(".ts"))) {
    run("asc", [
      join("assembly", file),
      "--outFile",
      join(made, "src", "kernels", `${basename(file, ".ts")}.wasm`),
      ..."--optimizeLevel 3 --runtime stub --enable simd --importMemory --noAssert".split(" "),
    ]);
    await heard();
  }
  run("tsc", ["-p", "tsconfig.json", "--outDir", made]);
  await heard();
  kept = "";
  replaceFolder(made, out);
} catch (error) {
  console.error(`build: ${error.message}${kept}`);
  process.exitCode = 1;
} finally {
  rmSync(made, { recursive: true, force: true, maxRetries: 5 });
}
