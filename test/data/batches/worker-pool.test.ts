import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startWorkerPool } from "../../../src/data/batches/worker-pool.ts";
import { rowMaker } from "../../../src/data/batches/rows.ts";
import { openSource, type SourceInput } from "../../../src/data/sources/open.ts";
import { noise } from "../../../src/data/augmentation/views.ts";

const rowOptions = { views: { noise: noise(4) }, seed: 0, cacheBytes: 0, maxBadShare: 0.1 };

function poolOn(source: SourceInput, length = 8, blocks?: readonly number[]) {
  return startWorkerPool({ source, length, limit: undefined, ...rowOptions }, 2, blocks);
}

describe("a worker pool", () => {
  it("passes on why a worker cannot open the source", async () => {
    const path = await mkdtemp(join(tmpdir(), "layergraft-pool-"));
    await rm(path, { recursive: true });
    const pool = poolOn({ kind: "folder", path });
    await expect(pool.make(0, Int32Array.of(0, 1))).rejects.toThrow(`there is no folder ${path}`);
    await pool.close();
  });

  it("notices a data set that has changed since it was listed", async () => {
    const pool = poolOn({ kind: "synthetic", length: 7 });
    await expect(pool.make(0, Int32Array.of(0, 1))).rejects.toThrow(
      "synthetic changed while it was opened: 8 images, then 7",
    );
    await pool.close();
  });

  it("gives a block of images to one worker, and the same rows", async () => {
    const source = { kind: "synthetic", length: 40, size: 8 } as const;
    const pool = poolOn(source, 40, [0, 3, 4, 9, 20, 21, 30, 38]);
    const indices = Int32Array.of(39, 3, 5, 22, 8, 0, 20);
    const alone = rowMaker(await openSource(source), { ...rowOptions });
    expect((await pool.make(0, indices)).fields).toEqual((await alone(0, indices)).fields);
    await pool.close();
  });

  it("rejects what is under way when it closes", async () => {
    const pool = poolOn({ kind: "synthetic", length: 8 });
    const rows = pool.make(0, Int32Array.of(0, 1));
    const rejected = expect(rows).rejects.toThrow("the loader is closed");
    await pool.close();
    await rejected;
  });
});
