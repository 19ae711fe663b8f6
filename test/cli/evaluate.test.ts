import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { listCheckpoints } from "../../src/run/checkpoint.ts";
import { readEvaluation } from "../../src/run/evaluation.ts";
import { temporary, tiny, trainHere } from "../train/tiny.ts";
import { layergraft, writeImages } from "./layergraft.ts";

let run: string;
let checkpoint: string;
let images: string;
beforeAll(async () => {
  run = await trainHere(tiny());
  checkpoint = listCheckpoints(run).at(-1)!.path;
  images = await writeImages(join(temporary(), "shapes"), 96, "classes");
});

const anImage = () => {
  const all = readdirSync(images, { recursive: true, withFileTypes: true });
  const { parentPath, name } = all.find((each) => each.isFile())!;
  return join(parentPath, name);
};
const evaluate = (...args: string[]) => layergraft(["evaluate", ...args, "--threads", "1"]);

it("a run is measured in every way that takes a moment, and its report shows it", async () => {
  const { code, stdout, stderr } = await evaluate(run, "--data", images, "--draws", "2");
  expect([code, stderr]).toEqual([0, ""]);
  for (const row of ["k-NN", "linear probe", "1 label per class", "5 labels per class"])
    expect(stdout).toMatch(new RegExp(`^shapes: ${row}, \\d classes +\\d`, "m"));
  expect(stdout).toMatch(/^k-NN, \d classes by layer, % +random encoder +after MIM +after grafting$/m);
  expect(stdout).toMatch(/^block 1 +\d+\.\d +\d+\.\d +\d+\.\d$/m);
  expect(stdout).toMatch(/^attention distance of block 0, pixels +\d/m);
  const report = readFileSync(join(run, "report.html"), "utf8");
  for (const section of ["results", "label-efficiency", "layers", "confusion", "map", "inside"])
    expect(report).toContain(`<section id="${section}"`);
});

it("the slow protocols run where they are named, with options of their own", async () => {
  const settings = [
    "linear-sweep.epochs=2",
    "linear-sweep.learningRates=[1,10]",
    "fine-tune.preset=small",
    "fine-tune.epochs=1",
    "fine-tune.labels=50%",
  ];
  const wanted = ["--protocol", "leave-one-out,linear-sweep,fine-tune", "--encoders", "random,pixels,last"];
  const { code, stdout, stderr } = await evaluate(run, ...wanted, ...settings.flatMap((each) => ["--set", each]));
  expect([code, stderr]).toEqual([0, ""]);
  expect(stdout).toMatch(/^linear sweep \(lgp\), \d classes( +\d+\.\d){4}$/m);
  expect(stdout).toMatch(/^fine-tuning \(small, 50 % of labels\), \d classes +\d+\.\d +– +\d+\.\d +\d+\.\d$/m);
  // What was fine-tuned is kept, and is an encoder that can be measured like any other.
  const tuned = join(run, "fine-tuned", "cl.safetensors");
  const again = await evaluate(tuned, "--data", images, "--protocol", "knn", "--encoders", "checkpoint");
  expect([again.code, again.stderr]).toEqual([0, ""]);
  expect(again.stdout).toMatch(/^k-NN, \d classes +\d+\.\d /m);
  const row = readEvaluation(run)!.rows.find(({ protocol }) => protocol === "linear-sweep")!;
  expect(row.details!["cl"]).toMatch(/^learning rate 10?, weight decay (0|0\.000001|1e-6), epoch [12]$/);
});

it("a checkpoint file is measured alone; what it looks like inside goes where it is told to", async () => {
  const out = temporary();
  const own = [checkpoint, "--data", images, "--protocol", "knn,analysis", "--encoders", "checkpoint"];
  const { code, stdout, stderr } = await evaluate(...own, "--out", out, "--images", "20", "--json");
  expect([code, stderr]).toEqual([0, ""]);
  const documents = stdout
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { kind: string });
  expect(documents.map(({ kind }) => kind)).toEqual(["evaluation", "analysis"]);
  expect(existsSync(join(out, "analysis.json"))).toBe(true);
});

describe("bad input is told in a sentence", () => {
  const sentence = async (...args: string[]) => {
    const { code, stdout, stderr } = await evaluate(...args);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^(\d+ .*images in [^\n]+\n(  [^\n]+\n)*)?$/);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    return stderr;
  };
  it("a k that is larger than the set", async () => {
    expect(await sentence(run, "--protocol", "knn", "--set", "knn.ks=[5,5000]")).toMatch(/5000.* labelled images/);
  });
  it("training images of one class alone", async () => {
    const dir = join(temporary(), "split");
    for (const [split, kind] of [
      ["train", "a"],
      ["test", "a"],
      ["test", "c"],
    ] as const) {
      mkdirSync(join(dir, split, kind), { recursive: true });
      for (let i = 0; i < 12; i++) copyFileSync(anImage(), join(dir, split, kind, `${i}.png`));
    }
    expect(await sentence(run, "--data", dir)).toMatch(
      /the training images are of less than two classes; the test images are also of the class c, of which there is no /,
    );
  });
  it("a split file with missing images, and one that is not there", async () => {
    const file = join(temporary(), "few.txt");
    writeFileSync(file, "train/nothing.png 0\r\n");
    const few = ["--data", images, "--protocol", "few-shot", "--shots"];
    expect(await sentence(run, ...few, file)).toMatch(/1 of the 1 images that .*few\.txt lists are not among the \d+ /);
    expect(await sentence(run, ...few, "absent.txt")).toMatch(/there is no file absent\.txt/);
  });
  it("an option that does not exist, and one in the wrong place", async () => {
    expect(await sentence(run, "--set", "knn.neighbours=3")).toContain("has no option neighbours; it has: ks, temper");
    expect(await sentence(run, "--set", "knn=3")).toContain("expected protocol.option=value, such as knn.ks=[5,20]");
  });
  it("images of another size than the patches, and a head that is not there", async () => {
    const tune = ["--protocol", "fine-tune", "--encoders", "random", "--set"];
    expect(await sentence(run, ...tune, "fine-tune.imageSize=17")).toMatch(/17.*patch/);
    expect(await sentence(run, ...tune, "fine-tune.preset=tenth")).toMatch(/tuneFromFirstFC/);
  });
  it("pixels, where an encoder is needed", async () => {
    expect(await sentence(run, "--protocol", "by-layer", "--encoders", "pixels")).toContain(
      "raw pixels have no layers",
    );
  });
  it("a damaged checkpoint, and a checkpoint without images to measure it on", async () => {
    const broken = join(temporary(), "broken.safetensors");
    const bytes = readFileSync(checkpoint);
    writeFileSync(broken, bytes.subarray(0, bytes.length - 100));
    expect(await sentence(broken, "--data", images)).toContain("broken.safetensors");
    expect(await sentence(checkpoint)).toContain("name them (--data)");
  });
});
