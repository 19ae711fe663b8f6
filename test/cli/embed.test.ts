import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { temporary, tiny, trainHere } from "../train/tiny.ts";
import { layergraft, writeImages } from "./layergraft.ts";

let run: string;
let images: string;
beforeAll(async () => {
  run = await trainHere(tiny());
  images = await writeImages(join(temporary(), "shapes"), 40, "classes");
});

const embed = (out: string, ...more: string[]) =>
  layergraft(["embed", run, images, "--out", out, "--threads", "1", ...more]);

describe.each(["f.parquet", "f.npy"])("%s", (name) => {
  it("is written, and an image and a row are found in it", async () => {
    const out = join(temporary(), name);
    const written = await embed(out);
    expect([written.code, written.stderr]).toEqual([0, ""]);
    expect(written.stdout).toMatch(/^40 images, 16 numbers each: .*\(\d+s, [\d.,]+ images\/s\)\n$/m);

    const [kind] = readdirSync(images);
    const image = `${kind}/${readdirSync(join(images, kind!))[0]!}`;
    const byImage = await layergraft(["search", out, join(images, image), "-k", "3", "--threads", "1"]);
    expect([byImage.code, byImage.stderr]).toEqual([0, ""]);
    const lines = byImage.stdout.trim().split("\n");
    expect(lines[0]).toMatch(/^rank +similarity +path +label$/);
    expect(lines[2]).toMatch(new RegExp(`^1 +1\\.0000 +${image} +${kind}$`));
    expect(lines).toHaveLength(5);

    const byRow = await layergraft(["search", out, "--row", image, "-k", "3", "--json"]);
    const { found } = JSON.parse(byRow.stdout) as { found: { name: string; similarity: number }[] };
    expect(found).toHaveLength(3);
    expect(found.map(({ name }) => name)).not.toContain(image);
    expect(lines[3]).toContain(`${found[0]!.similarity.toFixed(4)}   ${found[0]!.name}`);
  });
});

it("of a stage, of a part, and for programs", async () => {
  const out = join(temporary(), "f.npy");
  const { stdout } = await embed(out, "--stage", "mim", "--limit", "9", "--batch", "4", "--json");
  const result = JSON.parse(stdout) as { checkpoint: string; count: number };
  expect(result).toMatchObject({ kind: "features", path: out, count: 9, width: 16, unreadable: [] });
  expect(basename(result.checkpoint)).toMatch(/-mim-/);
});

describe("a long one that is killed", () => {
  /** Sends the signal as soon as there is a temporary file. */
  const killed = async (name: string, signal: NodeJS.Signals) => {
    const folder = temporary();
    const list = join(temporary(), "list.txt");
    const [kind] = readdirSync(images);
    writeFileSync(list, `${join(images, kind!, readdirSync(join(images, kind!))[0]!)}\n`.repeat(50_000));
    const args = ["embed", run, list, "--out", join(folder, name), "--threads", "1"];
    let timer: NodeJS.Timeout | undefined;
    const ended = layergraft(args, {
      onStart: (child) => {
        timer = setInterval(() => {
          if (readdirSync(folder).length > 0) child.kill(signal);
        }, 20);
      },
    });
    const outcome = await ended.finally(() => clearInterval(timer));
    return { folder, ...outcome };
  };

  it.each(["f.parquet", "f.npy"])("by Ctrl-C says so and leaves nothing (%s)", async (name) => {
    const { folder, code, stdout } = await killed(name, "SIGINT");
    expect(stdout).toContain("stopping; press Ctrl-C again");
    expect([130, null]).toContain(code);
    expect(existsSync(join(folder, name))).toBe(false);
  });

  it("by force leaves no file of that name, and the next one clears up", async () => {
    const { folder } = await killed("f.npy", "SIGKILL");
    expect(readdirSync(folder).every((each) => each.startsWith("."))).toBe(true);
    expect((await embed(join(folder, "f.npy"))).code).toBe(0);
    expect(readdirSync(folder).sort()).toEqual(["f.json", "f.labels.txt", "f.names.txt", "f.npy"]);
  });
});

describe("bad input is told in a sentence", () => {
  const sentence = async (args: readonly string[]) => {
    const { code, stdout, stderr } = await layergraft(args);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^(\d+ .*images in [^\n]+\n(  [^\n]+\n)*)?$/);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    return stderr;
  };
  it("of embed", async () => {
    expect(await sentence(["embed", run, images, "--out", "x.csv"])).toContain("neither .parquet nor .npy");
    expect(await sentence(["embed", images, images, "--out", "x.npy"])).toContain("has no checkpoint");
    expect(await sentence(["embed", run, "nothing", "--out", "x.npy"])).toContain("/nothing (looked for ");
  });
  it("of search", async () => {
    const out = join(temporary(), "x.npy");
    writeFileSync(out, "no table");
    expect(await sentence(["search", out])).toContain("name one thing to search for");
    expect(await sentence(["search", out, "--row", "a"])).toContain("neither a Parquet nor a .npy file");
    expect(await sentence(["search", "nothing.npy", "--row", "a"])).toContain("nothing.npy cannot be used as features");
  });
});
