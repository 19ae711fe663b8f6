/** `npm run build`, on a project of three files: what runs from dist/ never misses a file. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { expect, it, onTestFinished, vi } from "vitest";
import { temporaryFolder } from "./run/temporary.ts";

const root = fileURLToPath(new URL("../../", import.meta.url));

/** A project that is built as this one is; dist/ holds what an earlier build made, and a file that has no source any more. */
function project(): string {
  const dir = temporaryFolder();
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), text);
  };
  cpSync(join(root, "tsconfig.json"), join(dir, "tsconfig.json"));
  symlinkSync(join(root, "node_modules"), join(dir, "node_modules"), "junction");
  write("package.json", '{ "type": "module" }');
  write("assembly/one.ts", "export function one(): i32 { return 1; }");
  write("src/main.ts", "export const version: string = 'new';");
  write("src/later.ts", "export const later: string = 'new';");
  write("dist/src/main.js", "export const version = 'old';");
  write("dist/src/stale.js", "");
  return dir;
}

/** Runs node in `dir`. `onStart` gets the process. */
function node(
  dir: string,
  args: readonly string[],
  onStart?: (child: ChildProcess) => void,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, args, { cwd: dir });
  onStart?.(child);
  let output = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (code) => resolve({ code, output }));
  });
}

const build = (dir: string, onStart?: (child: ChildProcess) => void) =>
  node(dir, [join(root, "scripts", "build.mjs")], onStart);

const filesOf = (dir: string) => readdirSync(dir, { recursive: true, encoding: "utf8" });
/** What lies in the project beside its sources. */
const beside = (dir: string) => readdirSync(dir).filter((name) => name.startsWith("dist"));

it("puts a whole dist in the place of the old one, which is there until then", async () => {
  const dir = project();
  const main = join(dir, "dist", "src", "main.js");
  const looks: boolean[] = [];
  const looking = setInterval(() => looks.push(existsSync(main)), 2);
  const { code, output } = await build(dir);
  clearInterval(looking);
  expect([code, output]).toEqual([0, ""]);
  expect(looks.length).toBeGreaterThan(20);
  expect(looks.filter((there) => !there).length).toBeLessThanOrEqual(1); // the instant between two renames
  expect(beside(dir)).toEqual(["dist"]);
  expect(existsSync(join(dir, "dist", "src", "stale.js"))).toBe(false);
  expect(existsSync(join(dir, "dist", "src", "kernels", "one.wasm"))).toBe(true);
  expect(await import(pathToFileURL(main).href)).toMatchObject({ version: "new" });
  const map = JSON.parse(readFileSync(`${main}.map`, "utf8")) as { sources: string[] };
  expect(map.sources.map((path) => resolve(dirname(main), path))).toEqual([join(dir, "src", "main.ts")]);
});

it("keeps dist when it fails or is stopped, and leaves nothing behind", async () => {
  const dir = project();
  const before = filesOf(join(dir, "dist"));
  const stopped = await build(dir, (child) => {
    const looking = setInterval(() => {
      if (beside(dir).length === 1) return;
      clearInterval(looking);
      child.kill("SIGTERM");
    }, 2);
  });
  // Windows knows no signals: there the process just ends, and the next build removes what it left
  if (process.platform !== "win32") {
    expect(stopped).toEqual({ code: 1, output: "build: stopped by SIGTERM; dist/ is as it was\n" });
    expect(beside(dir)).toEqual(["dist"]);
  }
  expect(filesOf(join(dir, "dist"))).toEqual(before);

  writeFileSync(join(dir, "src", "main.ts"), "export const version: string = 1;");
  const { code, output } = await build(dir);
  expect(code).toBe(1);
  expect(output).toContain("src/main.ts");
  expect(output).toMatch(/^build: .*tsc.*; dist\/ is as it was$/m);
  expect(beside(dir)).toEqual(["dist"]);
  expect(filesOf(join(dir, "dist"))).toEqual(before);
});

interface ReplaceFolder {
  replaceFolder(made: string, out: string): void;
  removeLeftovers(out: string): void;
}
const script = new URL("../../scripts/replace-folder.mjs", import.meta.url).href;
const { replaceFolder, removeLeftovers } = (await import(script)) as ReplaceFolder;

it("of several at once the last one is there, whole", async () => {
  const dir = temporaryFolder();
  // every folder has one file that is named in the other
  const code = `
    import { mkdirSync, writeFileSync } from "node:fs";
    import { replaceFolder } from ${JSON.stringify(script)};
    for (let i = 0; i < 100; i++) {
      const name = \`\${process.pid}-\${i}\`;
      const made = \`dist.\${process.pid}.new\`;
      mkdirSync(made);
      writeFileSync(\`\${made}/\${name}\`, "");
      writeFileSync(\`\${made}/name\`, name);
      replaceFolder(made, "dist");
    }`;
  const args = ["--input-type=module", "--eval", code];
  const outcomes = await Promise.all([1, 2, 3].map(() => node(dir, args)));
  expect(outcomes).toEqual(outcomes.map(() => ({ code: 0, output: "" })));
  expect(readdirSync(dir)).toEqual(["dist"]);
  const name = readFileSync(join(dir, "dist", "name"), "utf8");
  expect(name).toMatch(/-99$/);
  expect(readdirSync(join(dir, "dist")).sort()).toEqual([name, "name"]);
});

it("replaces files one by one where the folder cannot be renamed, and says so", () => {
  const shared = "/dev/shm"; // in memory: nothing can be renamed into another file system
  if (!existsSync(shared) || statSync(shared).dev === statSync(tmpdir()).dev) return;
  const made = mkdtempSync(join(shared, "layergraft-test-"));
  onTestFinished(() => rmSync(made, { recursive: true, force: true }));
  const warn = vi.spyOn(console, "warn").mockImplementation(() => undefined);
  const dir = project();
  mkdirSync(join(made, "src"));
  writeFileSync(join(made, "src", "main.js"), "new");
  const out = join(dir, "dist");
  mkdirSync(join(out, "old", "older"), { recursive: true });
  replaceFolder(made, out);
  expect(warn.mock.calls).toEqual([[expect.stringContaining("dist cannot be renamed (EXDEV); its files were")]]);
  expect(filesOf(out).sort()).toEqual(["src", join("src", "main.js")]);
  expect(readFileSync(join(out, "src", "main.js"), "utf8")).toBe("new");
  expect(existsSync(made)).toBe(false);
  expect(beside(dir)).toEqual(["dist"]);
});

it("removes what a killed build has left, and nothing of one that is at work", async () => {
  const dir = temporaryFolder();
  let ended = 0;
  await node(dir, ["--version"], ({ pid }) => (ended = pid!));
  const names = [
    `dist.${ended}.new`,
    `dist.${ended}.old`,
    `dist.${process.ppid}.new`,
    "dist.bak",
    "dist",
    "xdist.1.new",
  ];
  for (const name of names) mkdirSync(join(dir, name));
  removeLeftovers(join(dir, "dist"));
  expect(readdirSync(dir).sort()).toEqual(names.slice(2).sort());
});
