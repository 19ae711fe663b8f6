import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startCrew } from "../../../src/data/batches/worker-pool.ts";
import { rowMaker } from "../../../src/data/batches/rows.ts";
import { openSource, type SourceInput } from "../../../src/data/sources/open.ts";
import { noise } from "../../../src/data/augmentation/views.ts";

const rowOptions = { views: { noise: noise(4) }, seed: 0, cacheBytes: 0, maxBadShare: 0.1 };

function crewOn(source: SourceInput, length = 8, blocks?: readonly number[]) {
  return startCrew({ source, length, limit: undefined, ...rowOptions }, 2, blocks);
}

describe("crew", () => {
  it("passes on why a worker cannot open the source", async () => {
    const path = await mkdtemp(join(tmpdir(), "layergraft-crew-"));
    await rm(path, { recursive: true });
    const crew = crewOn({ kind: "folder", path });
    await expect(crew.make(0, Int32Array.of(0, 1))).rejects.toThrow(`there is no folder ${path}`);
    await crew.close();
  });

  it("notices a data set that has changed since it was listed", async () => {
    const crew = crewOn({ kind: "synthetic", length: 7 });
    await expect(crew.make(0, Int32Array.of(0, 1))).rejects.toThrow(
      "synthetic changed while it was opened: 8 images, then 7",
    );
    await crew.close();
  });

  it("gives a block of images to one worker, and the same rows", async () => {
    const source = { kind: "synthetic", length: 40, size: 8 } as const;
    const crew = crewOn(source, 40, [0, 3, 4, 9, 20, 21, 30, 38]);
    const indices = Int32Array.of(39, 3, 5, 22, 8, 0, 20);
    const alone = rowMaker(await openSource(source), { ...rowOptions });
    expect((await crew.make(0, indices)).fields).toEqual((await alone(0, indices)).fields);
    await crew.close();
  });

  it("rejects what is under way when it closes", async () => {
    const crew = crewOn({ kind: "synthetic", length: 8 });
    const rows = crew.make(0, Int32Array.of(0, 1));
    const rejected = expect(rows).rejects.toThrow("the loader is closed");
    await crew.close();
    await rejected;
  });
});
