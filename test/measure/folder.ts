/** Folders of images that are told apart by one colour, and features that know it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { encodePng } from "../../src/data/formats/png.ts";
import { openSource } from "../../src/data/sources/open.ts";
import type { Features } from "../../src/evaluators/evaluator.ts";
import { temporaryFolder } from "../run/temporary.ts";

/** A folder of one-colour images: class name → how many. */
export async function folderOf(counts: Readonly<Record<string, number>>): Promise<string> {
  const dir = temporaryFolder();
  for (const [c, [name, count]] of Object.entries(counts).entries()) {
    mkdirSync(join(dir, name), { recursive: true });
    for (let i = 0; i < count; i++) {
      const data = new Uint8Array(48).fill(60 * c + i);
      writeFileSync(join(dir, name, `${i}.png`), await encodePng({ width: 4, height: 4, data }));
    }
  }
  return dir;
}

/** Features that point the way of the class, so that every protocol can be right. */
export async function perfect(path: string, unreadable: Features["unreadable"] = []): Promise<Features> {
  const { length, label } = await openSource({ kind: "folder", path });
  const rows = new Float32Array(length * 3);
  for (let i = 0; i < length; i++) rows.set([Number(label(i) === 0), Number(label(i) === 1), 0], 3 * i);
  for (const { index } of unreadable) rows.set([0, 0, 0], 3 * index);
  return { rows, count: length, width: 3, unreadable };
}
