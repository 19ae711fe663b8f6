import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { encodePng } from "../../src/data/formats/png.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { createRun, openRun } from "../../src/run/folder.ts";
import { defineRecipe, type RecipeInput } from "../../src/recipe/recipe.ts";
import { keepImages, withSameImages } from "../../src/train/images.ts";
import { train } from "../../src/train/loop.ts";
import { pretrain } from "../../src/train/pretrain.ts";
import { environment, temporaryFolder } from "../run/temporary.ts";
import { resumeHere, tiny, tinyStages, trainHere } from "./tiny.ts";

const png = await encodePng(await (await openSource({ kind: "synthetic", length: 1, size: 16 })).load(0));

/** A run that was begun with images 0 to 15 of a folder, and what it goes on with. */
async function begun(changes: Partial<RecipeInput> = {}) {
  const dir = temporaryFolder();
  const photos = join(dir, "photos");
  mkdirSync(photos);
  for (let i = 0; i < 16; i++) writeFileSync(join(photos, `${i}.png`), png);
  const recipe = defineRecipe({ ...tiny(), data: { kind: "folder", path: photos, shortSide: 32 }, ...changes });
  const out = join(dir, "run");
  createRun(out, { recipe, environment });
  await keepImages(out, recipe);
  const said: string[] = [];
  const goOn = (data?: RecipeInput["data"]) => withSameImages(out, recipe, data, (text) => said.push(text));
  return { dir, photos, recipe, out, goOn, said };
}

test("a run goes on with the images it was begun with", async () => {
  const { recipe, goOn, said } = await begun();
  expect(await goOn()).toEqual(recipe);
  expect(said).toEqual([]);
});

test.each<[string, (photos: string) => void, RegExp]>([
  ["fewer", (photos) => rmSync(join(photos, "3.png")), /was begun with 16 images, but \S+photos has 15: put them back/],
  [
    "more",
    (photos) => writeFileSync(join(photos, "16.png"), png),
    /with 16 images, but \S+photos has 17: put them back/,
  ],
  [
    "other ones",
    (photos) => renameSync(join(photos, "3.png"), join(photos, "3b.png")),
    /with 16 images, and \S+photos has as many, but with other names or in another order: put them back/,
  ],
])("it does not go on with %s", async (_, change, sentence) => {
  const { photos, out, goOn } = await begun();
  change(photos);
  await expect(goOn()).rejects.toThrow(sentence);
  await expect(goOn()).rejects.toThrow(`say where: layergraft pretrain --resume --out ${out} --data IMAGES`);
});

test("the images that a limit draws count, and no others", async () => {
  const { photos, goOn } = await begun({ limit: 8 });
  await goOn();
  writeFileSync(join(photos, "16.png"), png);
  await expect(goOn()).rejects.toThrow("with 8 images, and");
});

test("images that are gone are told where they are asked for, and found in another place", async () => {
  const { dir, photos, recipe, out, goOn } = await begun();
  const moved = join(dir, "elsewhere");
  renameSync(photos, moved);
  await expect(goOn()).rejects.toThrow(`say where: layergraft pretrain --resume --out ${out} --data IMAGES`);
  const data = { ...recipe.data, path: moved };
  expect(await goOn({ kind: "folder", path: moved })).toEqual({ ...recipe, data });
  rmSync(join(moved, "0.png"));
  await expect(goOn({ kind: "folder", path: moved })).rejects.toThrow("with 16 images, but");
  await expect(goOn({ kind: "folder", path: photos })).rejects.not.toThrow("say where");
});

test("the same images may lie there in another form, reduced to the same size", async () => {
  const { dir, photos, goOn } = await begun();
  const list = join(dir, "list.txt");
  const names = Array.from({ length: 16 }, (_, i) => `${i}.png`).sort();
  writeFileSync(list, names.join("\n"));
  const { data } = await goOn({ kind: "list", path: list, root: photos });
  expect(data).toEqual({ kind: "list", path: list, root: photos, shortSide: 32 });
});

test("a run of an earlier version takes what is there, says so and keeps it", async () => {
  const { photos, out, goOn, said } = await begun();
  rmSync(join(out, "images.json"));
  await goOn();
  expect(said).toEqual([expect.stringContaining("an earlier version began this run")]);
  rmSync(join(photos, "3.png"));
  await expect(goOn()).rejects.toThrow("begun with 16 images");
});

test("where the images lie now is kept with the run", async () => {
  const { dir, photos, recipe, out } = await begun({ stages: [tinyStages().mim] });
  await train(out, recipe, { resume: false, emit: () => undefined, stopRequested: () => true });
  renameSync(photos, join(dir, "elsewhere"));
  symlinkSync("elsewhere", join(dir, "link"));
  const data = { kind: "folder", path: join(dir, "link") } as const;
  expect((await pretrain({ out, resume: true, data })).finished).toBe(true);
  expect(defineRecipe(openRun(out).recipe).data).toEqual({ ...recipe.data, path: join(dir, "link") });
  await expect(pretrain({ out: join(dir, "new"), recipe, data })).rejects.toThrow("the images of a new run");
});

test("a stage that has done more steps than it has now ends with a sentence", async () => {
  const out = await trainHere(tiny(), (event) => event.kind === "step" && event.row.step === 9);
  const recipe = tiny({ epochs: 1 });
  writeFileSync(join(out, "recipe.json"), JSON.stringify(recipe));
  await expect(resumeHere(out)).rejects.toThrow("stage mim has done 9 steps, but has only 6 with these images");
});
