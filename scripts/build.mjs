// Builds dist/: WebAssembly kernels from assembly/*.ts, then TypeScript. Nothing here is needed by an installed package.
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { basename, join } from "node:path";

rmSync("dist", { recursive: true, force: true });
mkdirSync("dist/src/kernels", { recursive: true });
const bin = (name) => join("node_modules", ".bin", process.platform === "win32" ? `${name}.cmd` : name);
const run = (name, args) => execFileSync(bin(name), args, { stdio: "inherit", shell: process.platform === "win32" });
for (const file of readdirSync("assembly").filter((f) => f.endsWith(".ts")))
  run("asc", [
    join("assembly", file),
    "--outFile",
    join("dist/src/kernels", `${basename(file, ".ts")}.wasm`),
    ..."--optimizeLevel 3 --runtime stub --enable simd --importMemory --noAssert".split(" "),
  ]);
run("tsc", ["-p", "tsconfig.json"]);
