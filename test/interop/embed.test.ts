import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { openSource } from "../../src/data/sources/open.ts";
import { unitRows } from "../../src/evaluators/neighbours.ts";
import { loadEncoder } from "../../src/evaluators/encoder.ts";
import { embedImages } from "../../src/interop/embed.ts";
import { openFeatures } from "../../src/interop/features-file.ts";
import { featureOf, nearest, rowNamed } from "../../src/interop/search.ts";
import { listCheckpoints } from "../../src/run/checkpoint.ts";
import { writeImages } from "../cli/layergraft.ts";
import { temporary, tiny, trainHere } from "../train/tiny.ts";

let run: string;
beforeAll(async () => {
  run = await trainHere(tiny());
});

const settings = { threads: 1, batch: 8 };
const synthetic = { kind: "synthetic", length: 45, size: 16 } as const;

async function read(path: string) {
  const file = await openFeatures(path);
  const all = { rows: [] as number[], names: [] as string[], labels: [] as (string | undefined)[] };
  for await (const { rows, names, labels } of file.parts()) {
    all.rows.push(...rows);
    all.names.push(...names);
    all.labels.push(...labels);
  }
  file.close();
  return { ...all, file };
}

describe.each(["f.parquet", "f.npy"])("embedding to %s", (name) => {
  it.each([0, 2])("writes what the encoder says of every image (%i workers)", async (workers) => {
    const out = join(temporary(), "made", name);
    const progress: number[] = [];
    const onProgress = (done: number, total: number) => void progress.push(done / total);
    const embedded = await embedImages(run, synthetic, out, { ...settings, workers, onProgress });
    expect(embedded).toMatchObject({ count: 45, width: 16, unreadable: [] });
    expect(progress).toEqual([8, 16, 24, 32, 40, 45].map((done) => done / 45));

    const encoder = await loadEncoder(run, settings);
    const source = await openSource(synthetic);
    const { rows } = await encoder.features(source);
    await encoder.release();
    const written = await read(out);
    expect(written.rows).toEqual([...rows]);
    expect(written.names).toEqual(Array.from({ length: 45 }, (_, i) => source.id(i)));
    expect(written.labels).toEqual(Array.from({ length: 45 }, (_, i) => source.classes[source.label(i)]));
    expect(written.file.origin).toEqual({ checkpoint: embedded.checkpoint, sha256: embedded.sha256 });
  });

  it("leaves out what cannot be read and tells it once", async () => {
    const path = await writeImages(join(temporary(), "images"), 30, "flat");
    for (const bad of ["0.png", "17.png"]) writeFileSync(join(path, bad), "no image");
    const out = join(temporary(), name);
    const told: string[] = [];
    const { count, unreadable } = await embedImages(run, { kind: "folder", path }, out, {
      ...settings,
      onUnreadable: ({ id }) => void told.push(id),
    });
    expect([count, told, unreadable.map(({ id }) => id)]).toEqual([28, ["0.png", "17.png"], ["0.png", "17.png"]]);
    const { names, labels } = await read(out);
    expect(names).toHaveLength(28);
    expect(names).not.toContain("17.png");
    expect(new Set(labels)).toEqual(new Set([undefined]));
  });

  it("stops when more than a tenth cannot be read, and leaves nothing", async () => {
    const path = await writeImages(join(temporary(), "images"), 30, "flat");
    for (let i = 0; i < 4; i++) writeFileSync(join(path, `${i}.png`), "no image");
    const folder = temporary();
    await expect(embedImages(run, { kind: "folder", path }, join(folder, name), settings)).rejects.toThrow(
      /^at least 4 of \d+ images cannot be read, more than the 10 % allowed/,
    );
    expect(readdirSync(folder)).toEqual([]);
  });

  it("that is stopped leaves nothing, and what was there before", async () => {
    const folder = temporary();
    const out = join(folder, name);
    writeFileSync(out, "before");
    const controller = new AbortController();
    const stopped = embedImages(run, synthetic, out, {
      ...settings,
      signal: controller.signal,
      onProgress: () => controller.abort(new Error("enough")),
    });
    await expect(stopped).rejects.toThrow("enough");
    expect(readdirSync(folder)).toEqual([name]);
  });

  it("is found again: search is brute force", async () => {
    const out = join(temporary(), name);
    await embedImages(run, synthetic, out, { ...settings, limit: 40 });
    const { rows, names, file: about } = await read(out);
    expect(about.count).toBe(40);
    const file = await openFeatures(out);
    const unit = unitRows({ rows: Float32Array.from(rows), count: 40, width: 16 });
    const { row, feature } = await rowNamed(file, names[7]!);
    expect([row, ...feature]).toEqual([7, ...rows.slice(7 * 16, 8 * 16)]);
    const similarities = names.map((_, i) => {
      let dot = 0;
      for (let j = 0; j < 16; j++) dot += unit[i * 16 + j]! * unit[7 * 16 + j]!;
      return dot;
    });
    const order = [...names.keys()].sort((a, b) => similarities[b]! - similarities[a]!);
    for (const k of [1, 9, 40, 100]) {
      const found = await nearest(file, feature, k);
      expect(found.map(({ name }) => name)).toEqual(order.slice(0, k).map((i) => names[i]));
      for (const { row, similarity } of found) expect(similarity).toBeCloseTo(similarities[row]!, 5);
    }
    await expect(nearest(file, new Float32Array(3), 1)).rejects.toThrow("have 16 numbers, but 3 are looked for");
    await expect(rowNamed(file, "nothing")).rejects.toThrow("has no row nothing among its 40");
    file.close();
  });
});

describe("an image to search for", () => {
  let images: string;
  let out: string;
  beforeAll(async () => {
    images = await writeImages(join(temporary(), "images"), 12, "flat");
    out = join(temporary(), "f.parquet");
    await embedImages(run, { kind: "folder", path: images }, out, settings);
  });

  it("is encoded like those in the file", async () => {
    const file = await openFeatures(out);
    const [first] = await nearest(file, await featureOf(join(images, "5.png"), file, { threads: 1 }), 1);
    expect(first!.name).toBe("5.png");
    expect(first!.similarity).toBeCloseTo(1, 5);
    file.close();
  });

  it("is not compared with features of another encoder", async () => {
    const file = await openFeatures(out);
    const other = listCheckpoints(run)[0]!.path;
    await expect(featureOf(join(images, "5.png"), file, { encoder: other })).rejects.toThrow(
      /is not the encoder that made .*f\.parquet: its sha256 is [0-9a-f]{12}…, expected [0-9a-f]{12}…/,
    );
    await expect(featureOf(join(images, "5.png"), { ...file, origin: undefined })).rejects.toThrow(
      "name it (--encoder)",
    );
    const gone = { checkpoint: join(temporary(), "gone.safetensors"), sha256: "" };
    await expect(featureOf("x", { ...file, origin: gone })).rejects.toThrow(
      /gone\.safetensors, which is not there; name/,
    );
    await expect(featureOf("nothing.png", file, { threads: 1 })).rejects.toThrow("cannot read image nothing.png");
    file.close();
  });
});

it("a wrong name, a missing run and a folder without images are told before anything is written", async () => {
  const folder = temporary();
  mkdirSync(join(folder, "empty"));
  await expect(embedImages(run, synthetic, join(folder, "x.csv"))).rejects.toThrow("neither .parquet nor .npy");
  await expect(embedImages("nothing", synthetic, join(folder, "x.npy"))).rejects.toThrow("no run folder or checkpoint");
  const empty = { kind: "folder", path: join(folder, "empty") } as const;
  await expect(embedImages(run, empty, join(folder, "x.npy"))).rejects.toThrow("no image in");
  expect(readdirSync(folder)).toEqual(["empty"]);
});
