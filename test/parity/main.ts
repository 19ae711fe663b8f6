/** `npm run parity -- DIR`: compares every fixture in a folder; exit code 1 when one is out of tolerance or unknown. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { decodeSafetensors } from "../../src/tensor/safetensors.ts";
import { compare } from "./parity.ts";

const dir = process.argv[2] ?? "test/fixtures";
const files = (await readdir(dir)).filter((name) => name.endsWith(".safetensors")).sort();
if (files.length === 0) throw new Error(`${dir} holds no .safetensors file`);
let failures = 0;
for (const name of files) {
  try {
    const { kind, comparisons } = await compare(decodeSafetensors(await readFile(join(dir, name)), name));
    console.log(`${name} (${kind})`);
    for (const { group, error, worst, tolerance } of comparisons) {
      const fits = error <= tolerance;
      if (!fits) failures++;
      console.log(`  ${fits ? "ok  " : "FAIL"} ${group.padEnd(12)} ${error.toExponential(1)}  (${worst})`);
    }
  } catch (error) {
    failures++;
    console.log(`${name}\n  FAIL ${(error as Error).message}`);
  }
}
console.log(failures === 0 ? `${files.length} fixtures agree` : `${failures} comparisons out of tolerance`);
process.exitCode = failures === 0 ? 0 : 1;
