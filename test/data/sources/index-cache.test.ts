import { createHash } from "node:crypto";
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, describe, expect, it, vi } from "vitest";
import type * as z from "zod";
import { folder } from "../../../src/data/sources/folder.ts";
import { glob } from "../../../src/data/sources/glob.ts";
import { type ImageIndex, idOf } from "../../../src/data/sources/image-index.ts";
import type { Indexable } from "../../../src/data/sources/index-cache.ts";
import type { IndexedKind, SourceSchema } from "../../../src/data/sources/kind.ts";
import { list } from "../../../src/data/sources/list.ts";
import { temporaryFolder } from "../../run/temporary.ts";

afterEach(() => {
  vi.unstubAllEnvs();
});

const put = (file: string, text = "x") => {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
};

/** A data set of `names`, and a cache folder for its index. */
function place(...names: readonly string[]) {
  const [dir, cache] = [temporaryFolder(), temporaryFolder()];
  vi.stubEnv("LAYERGRAFT_CACHE", cache);
  for (const name of names) put(join(dir, name));
  return { dir, indexes: join(cache, "indexes") };
}

/** The names that a kind's index has, and whether it had to be built. A program that starts knows what is on disk. */
async function look<S extends SourceSchema>(
  kind: IndexedKind<S>,
  spec: z.infer<S>,
  least = 1,
): Promise<[string[], "built" | "kept"]> {
  vi.resetModules();
  const { cachedIndex } = await import("../../../src/data/sources/index-cache.ts");
  return namesIn(await lookWith(cachedIndex, kind, spec, least));
}

interface Looked {
  readonly index: ImageIndex;
  readonly built: boolean;
}

async function lookWith<S extends SourceSchema>(
  cachedIndex: (data: Indexable, least?: number) => Promise<ImageIndex>,
  kind: IndexedKind<S>,
  spec: z.infer<S>,
  least: number,
): Promise<Looked> {
  let built = false;
  const build = () => {
    built = true;
    return kind.build(spec);
  };
  return { index: await cachedIndex({ key: ["kind", ...kind.key(spec)], build }, least), built };
}

function namesIn({ index, built }: Looked): [string[], "built" | "kept"] {
  return [Array.from({ length: index.length }, (_, i) => idOf(index, i)), built ? "built" : "kept"];
}

/** Longer than clocks of file systems tick: what has just changed is not kept. */
const settle = () => setTimeout(200);

describe("an index on disk", () => {
  it("is as it was built", async () => {
    const { dir, indexes } = place("train/a/1.png", "train/b/22.png", "test/b/3.png");
    await settle();
    const spec = { kind: "folder", path: dir } as const;
    vi.resetModules();
    const first = await import("../../../src/data/sources/index-cache.ts");
    const { index, built } = await lookWith(first.cachedIndex, folder, spec, 1);
    expect(built).toBe(true);
    expect((await lookWith(first.cachedIndex, folder, spec, 1)).index).toBe(index); // shared by all who ask
    vi.resetModules();
    const second = await import("../../../src/data/sources/index-cache.ts");
    const read = await lookWith(second.cachedIndex, folder, spec, 1);
    expect(read.built).toBe(false);
    expect(read.index).toEqual(index);
    expect(read.index.names.buffer).toBeInstanceOf(SharedArrayBuffer);
    const source = folder.open({ ...spec, split: "train" }, read.index);
    expect([source.id(1), source.label(1), source.classes]).toEqual(["train/b/22.png", 1, ["a", "b"]]);
    expect(readdirSync(indexes)).toHaveLength(1);
  });

  it("of a folder holds until a file comes, goes or is renamed, at any depth", async () => {
    const { dir } = place("a/1.png", "a/b/c/2.png", "3.png");
    const spec = { kind: "folder", path: dir } as const;
    const changes: [() => void, string[]][] = [
      [() => put(join(dir, "a/b/c/4.png")), ["3.png", "a/1.png", "a/b/c/2.png", "a/b/c/4.png"]],
      [() => rmSync(join(dir, "a/1.png")), ["3.png", "a/b/c/2.png", "a/b/c/4.png"]],
      [() => renameSync(join(dir, "a/b/c/2.png"), join(dir, "a/b/c/5.png")), ["3.png", "a/b/c/4.png", "a/b/c/5.png"]],
      [() => renameSync(join(dir, "a/b"), join(dir, "a/d")), ["3.png", "a/d/c/4.png", "a/d/c/5.png"]],
    ];
    await settle();
    await look(folder, spec);
    for (const [change, names] of changes) {
      change();
      await settle();
      expect(await look(folder, spec)).toEqual([names, "built"]);
      expect(await look(folder, spec)).toEqual([names, "kept"]);
    }
    put(join(dir, "3.png"), "other content"); // is read anew anyway
    expect((await look(folder, spec))[1]).toBe("kept");
  });

  it("of a folder sees what links lead to", async () => {
    const { dir } = place("own.png");
    const other = temporaryFolder();
    put(join(other, "far", "1.png"));
    put(join(other, "near", "2.png"));
    symlinkSync(join(other, "far"), join(dir, "far"), "dir");
    symlinkSync(join(other, "near", "2.png"), join(dir, "2.png"));
    const spec = { kind: "folder", path: dir } as const;
    await settle();
    await look(folder, spec);
    expect(await look(folder, spec)).toEqual([["2.png", "far/1.png", "own.png"], "kept"]);
    put(join(other, "far", "3.png"));
    await settle();
    expect(await look(folder, spec)).toEqual([["2.png", "far/1.png", "far/3.png", "own.png"], "built"]);
    rmSync(join(other, "near", "2.png"));
    await settle();
    expect(await look(folder, spec)).toEqual([["far/1.png", "far/3.png", "own.png"], "built"]);
    put(join(other, "near", "2.png"));
    await settle();
    expect(await look(folder, spec)).toEqual([["2.png", "far/1.png", "far/3.png", "own.png"], "built"]);
  });

  it("of a list holds until it is written", async () => {
    const { dir } = place();
    const path = join(dir, "list.txt");
    put(join(dir, "a.png"));
    put(join(dir, "b.png"));
    put(path, "a.png\n");
    const spec = { kind: "list", path } as const;
    await settle();
    await look(list, spec);
    expect(await look(list, spec)).toEqual([["a.png"], "kept"]);
    utimesSync(path, 1, 1);
    await settle();
    expect((await look(list, spec))[1]).toBe("built");
    put(path, "b.png\n");
    await settle();
    expect(await look(list, spec)).toEqual([["b.png"], "built"]);
  });

  it("of a pattern holds until a folder changes that it looks into", async () => {
    const { dir } = place("in/a/1.png", "in/b/2.png", "out/3.png");
    const spec = { kind: "glob", path: join(dir, "in/*/*.png") } as const;
    await settle();
    await look(glob, spec);
    put(join(dir, "out/4.png"));
    expect(await look(glob, spec)).toEqual([["a/1.png", "b/2.png"], "kept"]);
    put(join(dir, "in/c/5.png"));
    expect(await look(glob, spec)).toEqual([["a/1.png", "b/2.png", "c/5.png"], "built"]);
  });

  it("is not trusted when its folder changed just before: the next change might have the same time", async () => {
    const { dir, indexes } = place("1.png");
    await look(folder, { kind: "folder", path: dir });
    expect(() => readdirSync(indexes)).toThrow("ENOENT");
  });

  it("is not made of few images, nor where LAYERGRAFT_CACHE is off", async () => {
    const { dir, indexes } = place("1.png", "2.png");
    const spec = { kind: "folder", path: dir } as const;
    await settle();
    await look(folder, spec, 3);
    vi.stubEnv("LAYERGRAFT_CACHE", "off");
    await look(folder, spec);
    expect(await look(folder, spec)).toEqual([["1.png", "2.png"], "built"]);
    expect(() => readdirSync(indexes)).toThrow("ENOENT");
    vi.stubEnv("LAYERGRAFT_CACHE", join(dir, "1.png")); // a file: nothing can be written there
    expect(await look(folder, spec)).toEqual([["1.png", "2.png"], "built"]);
  });

  it("is built again when its file is damaged or is another's", async () => {
    const { dir, indexes } = place("1.png", "2.png");
    const spec = { kind: "folder", path: dir } as const;
    await settle();
    await look(folder, spec);
    const file = join(indexes, readdirSync(indexes)[0]!);
    const good = readFileSync(file);
    const signed = (body: Buffer) => Buffer.concat([good.subarray(0, 19), sha256(body), body]);
    const body = good.subarray(19 + 32);
    const damaged = [
      Buffer.alloc(0),
      Buffer.from("something else"),
      good.subarray(0, 40),
      good.subarray(0, -1),
      good.map((byte, i) => (i === good.length - 8 ? byte ^ 1 : byte)),
      Buffer.concat([Buffer.from("layergraft index 0\n"), good.subarray(19)]),
      signed(Buffer.from(body.toString("latin1").replace(/(?<="key":")./, "x"), "latin1")),
      signed(Buffer.from([255, 255, 255, 255, 1])),
    ];
    for (const bytes of damaged) {
      writeFileSync(file, bytes);
      expect(await look(folder, spec)).toEqual([["1.png", "2.png"], "built"]);
      expect(readFileSync(file)).toEqual(good);
    }
    writeFileSync(file, signed(body));
    expect((await look(folder, spec))[1]).toBe("kept");
  });

  it("makes room by those that were not used for the longest time", async () => {
    const { dir, indexes } = place("1.png");
    mkdirSync(indexes);
    for (let i = 0; i < 40; i++) {
      writeFileSync(join(indexes, `${i}.index`), "");
      utimesSync(join(indexes, `${i}.index`), 1000 + i, 1000 + i);
    }
    writeFileSync(join(indexes, "1.index.7.7.tmp"), "");
    utimesSync(join(indexes, "1.index.7.7.tmp"), 1000, 1000);
    writeFileSync(join(indexes, "2.index.8.8.tmp"), ""); // somebody is writing it
    await settle();
    await look(folder, { kind: "folder", path: dir });
    const left = readdirSync(indexes);
    expect(left.filter((name) => name.endsWith(".index"))).toHaveLength(32);
    expect([left.includes("39.index"), left.includes("9.index"), left.includes("8.index")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(left.filter((name) => name.endsWith(".tmp"))).toEqual(["2.index.8.8.tmp"]);
  });
});

function sha256(bytes: Uint8Array): Buffer {
  return createHash("sha256").update(bytes).digest();
}
