import { expect, it } from "vitest";
import { openLoader } from "../../../src/data/batches/loader.ts";
import { openSource, type SourceInput } from "../../../src/data/sources/open.ts";
import { mocoViews } from "../../../src/data/augmentation/views.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { animals, type Files, parquetOf, tarOf, writeFolder, zipOf } from "./shards.ts";

const files = await animals(20);
const halves: readonly Files[] = [0, 10].map((from) =>
  Object.fromEntries(Object.entries(files).slice(from, from + 10)),
);
const classes = ["cat", "dog"];
const classOf = (path: string) => classes.indexOf(path.slice(0, 3));

/** The same images in files of each kind, one and two of them. */
const kinds: readonly [kind: "folder" | "tar" | "zip" | "parquet", archives: () => Files][] = [
  ["folder", () => files],
  ["tar", () => ({ "all.tar": tarOf(files) })],
  ["tar", () => ({ "0.tar": tarOf(halves[0]!), "1.tar": tarOf(halves[1]!) })],
  ["zip", () => ({ "all.zip": zipOf(Object.entries(files)) })],
  ["zip", () => ({ "0.zip": zipOf(Object.entries(halves[0]!)), "1.zip": zipOf(Object.entries(halves[1]!)) })],
  ["parquet", () => ({ "all.parquet": rowsOf(files) })],
  ["parquet", () => ({ "0.parquet": rowsOf(halves[0]!), "1.parquet": rowsOf(halves[1]!) })],
];

function rowsOf(some: Files): Uint8Array {
  const rows = Object.entries(some).map(([path, bytes]) => ({ path, bytes: Buffer.from(bytes), label: classOf(path) }));
  return parquetOf(rows, { rows: 3, classes });
}

function write(kind: SourceInput["kind"], archives: Files) {
  return { kind, path: writeFolder(temporaryFolder(), archives) } as SourceInput;
}

it.each(kinds)("a %s has the images, classes and labels of the folder", async (kind, archives) => {
  const source = await openSource(write(kind, archives()));
  expect(source.classes).toEqual(classes);
  expect(source.length).toBe(20);
  const folder = await openSource(write("folder", files));
  const places = new Map(Array.from({ length: 20 }, (_, i) => [folder.id(i), i]));
  for (let i = 0; i < 20; i++) {
    const name = source.id(i).replace(/^\d\.\w+\//, "");
    const other = places.get(name)!;
    expect(source.label(i)).toBe(classOf(name));
    expect(await source.load(i)).toEqual(await folder.load(other));
  }
});

it.each(kinds)("batches of a %s are the same for any number of workers, and from any step", async (kind, archives) => {
  const source = write(kind, archives());
  const options = { source, views: mocoViews(8), batch: 6, seed: 3 };
  const [alone, two, late] = await Promise.all(
    [0, 2, 2].map((workers) => openLoader({ ...options, workers, cacheBytes: 0 })),
  );
  for (const [epoch, step] of [
    [0, 0],
    [0, 1],
    [0, 2],
    [1, 0],
    [1, 1],
  ] as const) {
    const batch = await alone!.batch(epoch, step);
    expect(await two!.batch(epoch, step)).toEqual(batch);
    if (epoch === 1) expect(await late!.batch(epoch, step)).toEqual(batch);
  }
  await Promise.all([two!.close(), late!.close()]);
});
