import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { createProgram } from "../../src/cli/program.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";
import { createRun } from "../../src/run/folder.ts";
import { environment, temporaryFolder, temporaryRun } from "../run/temporary.ts";
import { tiny as tinyRecipe } from "../train/tiny.ts";
import { layergraft, tiny, writeImages } from "./layergraft.ts";

const commands = createProgram().commands.map((command) => command.name());

describe("--help", () => {
  it("of the whole lists the commands", async () => {
    const { code, stdout, stderr } = await layergraft(["--help"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(commands).toContain("pretrain");
    for (const name of commands) expect(stdout).toContain(`\n  ${name} `);
  });
  it.each(commands)("of %s has options and an example", async (name) => {
    const { code, stdout } = await layergraft([name, "--help"]);
    expect(code).toBe(0);
    expect(stdout).toContain(`Usage: layergraft ${name}`);
    expect(stdout).toMatch(new RegExp(`Examples?:\n {2}layergraft ${name}`));
  });
  it("is the answer to no command, and --version is the package's", async () => {
    expect(await layergraft([])).toMatchObject({ code: 2, stdout: "" });
    expect((await layergraft(["--version"])).stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  });
});

describe("wrong usage ends with 2 and says what was meant", () => {
  it.each([
    [["pretrian", "x"], "unknown command 'pretrian'", "Did you mean pretrain?"],
    [["pretrain", "x", "--epoch", "3"], "unknown option '--epoch'", "Did you mean --epochs?"],
    [["pretrain", "x", "--epochs", "none"], "'none' is invalid", "expected a number above 0"],
    [["pretrain", "x", "--set", "epochs"], "'epochs' is invalid", "expected key=value"],
    [["pretrain", "x", "--rates", "0.1,,1"], "'0.1,,1' is invalid", "expected a number from 0 to 1"],
    [["pretrain", "x", "--l1-anchor", "1e-5"], "'1e-5' is invalid", "expected weight,blocks"],
    [["evaluate", "x", "--protocol", "kn"], "unknown protocol kn", "available: knn, leave-one-out, linear"],
    [["evaluate", "x", "--shots", "1,200%"], "'1,200%' is invalid", "expected a share above 0 % and up to 100 %"],
    [["evaluate", "x", "--shots", "1,half"], "'1,half' is invalid", "a share such as 10%, or a split file"],
    [["evaluate", "x", "--protocol", "paper/ten"], "unknown protocol paper/ten", "paper/10-percent-vit-base"],
    [["pretrain", "x", "--micro-batch", "0"], "'0' is invalid", "expected a whole number of at least 1, or auto"],
    [["pretrain", "x", "--lazy", "1"], "'1' is invalid", "expected a whole number of at least 2"],
    [["pretrain", "x", "--lazy", "2.5"], "'2.5' is invalid", "expected a whole number of at least 2"],
    [["plan", "x", "--bandwidth", "-1"], "'-1' is invalid", "expected a number above 0"],
    [["study", "--methods", "mim,ml"], "unknown method ml", "available: mim, cl, mtl, mim-to-cl, cl-to-mim"],
    [["study", "--search", "1,0"], "'1,0' is invalid", "expected a number above 0"],
    [["evaluate"], "missing required argument 'run'", "(layergraft evaluate --help shows options and examples)"],
  ])("%j", async (args, what, hint) => {
    const { code, stdout, stderr } = await layergraft(args);
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toContain(what);
    expect(stderr).toContain(hint);
  });
});

describe("what cannot be done ends with 1 and one sentence", () => {
  const sentence = async (args: readonly string[]) => {
    const { code, stderr } = await layergraft(args);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^layergraft: [^\n]+\n$/);
    return stderr;
  };

  it("for folders without images", async () => {
    const dir = temporaryFolder();
    expect(await sentence(["pretrain", join(dir, "nowhere")])).toContain("there is no folder");
    expect(await sentence(["pretrain", dir])).toContain("it is empty");
    writeFileSync(join(dir, "notes.txt"), "no image");
    expect(await sentence(["pretrain", dir])).toContain("not read: 1 ");
    expect(await sentence(["pretrain"])).toContain("which images?");
  });

  it("for settings that do not fit", async () => {
    const dir = await writeImages(temporaryFolder(), 10, "flat");
    const dry = (...more: string[]) => sentence(["pretrain", dir, "--dry-run", ...more]);
    expect(await dry("--batch", "64")).toContain("a batch of 64 is larger than the data set of 10 images");
    expect(await dry("--set", "stages.1.batch=11", "--set", "stages.1.microBatch=11")).toContain(
      "a batch of 11 is larger",
    );
    expect(await dry("--set", "stages.0.epoch=3")).toContain('has no option "epoch" (did you mean "epochs"?)');
    expect(await dry("--set", "stages.7.epochs=3")).toContain("there is no 7 to set something in");
    expect(await dry("--recipe", "mine.json")).toContain("there is no recipe mine.json");
    expect(await dry("--init", "none.safetensors")).toContain("--init: there is no file none.safetensors");
    expect(await dry("--parent", "none.safetensors")).toContain("--parent: there is no file none.safetensors");
    expect(await dry("--recipe", "mtl", "--fix-to", "2")).toContain("--fix-to says how a second stage builds on");
    expect(await dry("--recipe", "mim", "--lazy", "4")).toContain("--lazy says how a second stage builds on");
    expect(await dry("--recipe", "auto-grafted", "--lazy", "4")).toContain("measures its rates when the stage begins");
    expect(await dry("--rates", "1,1", "--lazy", "4")).toContain("layer-grafted with these rates has no block below 1");
    expect(await dry("--fresh-end")).toContain("say with fixTo where the upper blocks begin");
    expect(await dry("--patch-drop", "0.5", "--contrastive-mae", "0.5")).toContain("give one of them");
  });

  it("for run folders", async () => {
    const images = await writeImages(temporaryFolder(), 10, "flat");
    const taken = temporaryRun();
    expect(await sentence(["pretrain", images, ...tiny, "--out", taken])).toContain("already holds a run");
    const other = temporaryFolder();
    mkdirSync(join(other, "something"));
    expect(await sentence(["pretrain", images, ...tiny, "--out", other])).toContain("is not empty");
    expect(await sentence(["pretrain", "--resume"])).toContain("--resume needs --out");
    expect(await sentence(["pretrain", "--resume", "--out", "nowhere"])).toContain("nowhere holds no run");
    expect(await sentence(["pretrain", "--resume", "--out", taken, "--image-size", "32"])).toContain(
      "leave out --image-size",
    );
    expect(await sentence(["pretrain", "--resume", "--out", taken, "--schedule", "constant"])).toContain(
      "leave out --schedule",
    );
    expect(await sentence(["pretrain", images, "--finish"])).toContain("--finish ends a run that was stopped");
    expect(await sentence(["pretrain", "--resume", "--finish"])).toContain("--resume needs --out");
    const fresh = join(temporaryFolder(), "run");
    createRun(fresh, { recipe: defineRecipe(tinyRecipe()), environment });
    expect(await sentence(["pretrain", "--resume", "--finish", "--out", fresh])).toContain("has saved no step yet");
    expect(await sentence(["evaluate", "nowhere"])).toContain("nowhere holds no run");
    expect(await sentence(["conflict", "nowhere"])).toContain("nowhere holds no run");
    const both = "paper/10-percent-vit-base,paper/fine-tune-vit-base";
    expect(await sentence(["evaluate", taken, "--protocol", both])).toContain("are both fine-tune");
  });

  it("and with the stack when asked", async () => {
    const { code, stderr } = await layergraft(["report", "nowhere", "--verbose"]);
    expect(code).toBe(1);
    expect(stderr).toMatch(/nowhere holds no run.*\n +at /);
  });
});

it("--dry-run prints a recipe that --recipe accepts", async () => {
  const dir = temporaryFolder();
  const images = await writeImages(join(dir, "images"), 10, "flat");
  const dry = ["pretrain", images, "--dry-run", "--json"];
  const { code, stdout } = await layergraft([...dry, ...tiny, "--seed", "4"]);
  expect(code).toBe(0);
  const recipe = JSON.parse(stdout) as { model: { width: number }; seed: number };
  expect(recipe).toMatchObject({ model: { width: 12 }, seed: 4 });
  const file = join(dir, "mine.json");
  writeFileSync(file, stdout);
  const again = await layergraft([...dry, "--recipe", file, "--set", "stages.0.epochs=9"]);
  expect(again.stderr).toBe("");
  expect(JSON.parse(again.stdout)).toMatchObject({ ...recipe, stages: [{ epochs: 9 }, { epochs: 2 }] });
  expect((await layergraft([...dry, "--recipe", file, "--epochs", "3"])).stderr).toContain(
    "says what --epochs would; change it there, or with --set",
  );
  const monitors = async (...more: string[]) =>
    (JSON.parse((await layergraft([...dry, ...more])).stdout) as { stages: { monitors?: object[] }[] }).stages[0]!
      .monitors;
  expect(await monitors("--knn", "2.5")).toEqual([{ kind: "features", everyEpochs: 2.5, images: 512 }]);
  expect(await monitors("--no-knn")).toBeUndefined();
});
