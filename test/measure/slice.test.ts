import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { openEmoji } from "../../src/data/sources/emoji/source.ts";
import { defineSource, type SourceInput } from "../../src/data/sources/open.ts";
import { centerCrop } from "../../src/data/augmentation/views.ts";
import { createEncoder, initialParameters } from "../../src/evaluators/encoder.ts";
import { deviation } from "../../src/evaluators/statistics.ts";
import { openSlice, type SliceOptions } from "../../src/measure/slice.ts";
import { writeImages } from "../cli/layergraft.ts";
import { cifar10, value, writeArchive } from "../data/sources/cifar.ts";
import { randomFor } from "../helpers.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { featuresOf } from "../evaluators/toy.ts";

const plain = { mean: [0, 0, 0] as [number, number, number], std: [1, 1, 1] as [number, number, number] };
const open = (source: SourceInput, size: number, options: Partial<SliceOptions> = {}) =>
  openSlice(defineSource(source), centerCrop(size, { resize: size, ...plain }), {
    images: 512,
    seed: 0,
    threads: 1,
    ...options,
  });

/** Features that `of` makes of each image's numbers, [3, S, S]; all images that were asked for are in `seen`. */
function fake(of: (image: Float32Array) => readonly number[]) {
  const seen: Float32Array[] = [];
  const encode = async ({ data, shape }: Tensor<"float32">) => {
    const [count, ...rest] = shape as [number, number, number, number];
    const size = rest.reduce((a, b) => a * b);
    const images = Array.from({ length: count }, (_, i) => data.slice(i * size, (i + 1) * size));
    seen.push(...images.filter((image) => image.some((each) => each !== 0))); // the last batch is filled up with zeros
    const rows = images.map(of);
    return tensor("float32", [count, rows[0]!.length], Float32Array.from(rows.flat()));
  };
  return { encode, seen };
}

/** Which of the fixture's images it is, and so which class it has. */
const numberOf = (image: Float32Array) => {
  const found = Array.from({ length: 64 }, (_, n) => n).find((n) =>
    image.every((each, at) => Math.round(each * 255) === value(n, Math.floor(at / 1024), at % 1024)),
  );
  return found ?? -1;
};

it("takes gallery and queries from the images one may learn from, class by class, and tests on none of the test images", async () => {
  const path = writeArchive(join(temporaryFolder(), "cifar.tar.gz"), cifar10(10));
  const slice = await open({ kind: "cifar", path, split: "train" }, 32);
  expect(slice).toMatchObject({ count: 50, batch: 45 }); // 45 teach, 5 are asked
  const right = fake((image) => [numberOf(image) % 2, 1 - (numberOf(image) % 2), 0]);
  expect((await slice.measure(right)).knn).toEqual({ accuracy: 1, chance: expect.closeTo(0.6) });
  expect(right.seen.map(numberOf).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, n) => n));
  const small = await open({ kind: "cifar", path, split: "train" }, 32, { images: 8 });
  expect(small.count).toBe(8);
  const some = fake(() => [1, 0, 0]);
  await small.measure(some);
  expect(some.seen.filter((image) => numberOf(image) % 2 === 1)).toHaveLength(4);
});

it("asks of emoji for concepts of the validation split", async () => {
  const spec = { kind: "emoji" as const, size: 16, split: "train" as const, styles: ["twemoji" as const] };
  const slice = await open(spec, 16, { images: 40 });
  expect(slice.count).toBe(40);
  const all = fake(() => [1, 2]);
  expect((await slice.measure(all)).knn).toBeDefined();
  const levels = (image: ArrayLike<number>, scale: number) =>
    Array.from(image, (each) => Math.round(each * scale))
      .sort((a, b) => a - b)
      .join();
  const validation = await openEmoji({ ...spec, split: "validation", label: "subgroup" });
  const known = new Set<string>();
  for (let i = 0; i < validation.length; i++) known.add(levels((await validation.load(i)).data, 1));
  expect(all.seen.map((image) => known.has(levels(image, 255)))).toEqual(Array.from({ length: 40 }, (_, i) => i >= 20));
});

it("measures the deviation alone where there are no classes, and leaves out what cannot be read", async () => {
  const dir = await writeImages(join(temporaryFolder(), "flat"), 12, "flat");
  writeFileSync(join(dir, "broken.png"), "not a picture");
  const slice = await open({ kind: "folder", path: dir }, 16);
  expect(slice.count).toBe(12);
  expect(await slice.measure(fake(() => [1, 2, 3]))).toEqual({ deviation: expect.closeTo(0, 6) });
  const classes = await writeImages(join(temporaryFolder(), "classes"), 4, "classes"); // one of each: nobody to ask
  expect(await (await open({ kind: "folder", path: classes }, 16)).measure(fake(() => [1, 2, 3]))).toEqual({
    deviation: 0,
  });
});

it("rejects when nothing can be read", async () => {
  const dir = temporaryFolder();
  writeFileSync(join(dir, "broken.png"), "not a picture");
  await expect(open({ kind: "folder", path: dir }, 16)).rejects.toThrow("cannot read image broken.png");
});

it("gives the same numbers every time, whatever was measured in between", async () => {
  const model = { imageSize: 16, patchSize: 8, width: 12, depth: 2, heads: 2 };
  const slice = await open({ kind: "synthetic", length: 30, size: 16 }, 16);
  const [one, other] = await Promise.all(
    [0, 1].map((seed) =>
      createEncoder(model, centerCrop(16), initialParameters(model, key(seed)), { batch: slice.batch, threads: 1 }),
    ),
  );
  const first = await slice.measure(one!);
  expect(await slice.measure(other!)).not.toEqual(first);
  expect(await slice.measure(one!)).toEqual(first);
  expect(first.knn!.chance).toBeGreaterThanOrEqual(0.25);
  await Promise.all([one!.release(), other!.release()]);
});

it("the deviation is 1 for even directions, 0 for one, whatever the lengths", () => {
  const random = randomFor("directions");
  const even = Array.from({ length: 2000 }, () => Array.from({ length: 8 }, () => random.normal()));
  expect(deviation(featuresOf(even))).toBeCloseTo(1, 1);
  expect(
    deviation(
      featuresOf([
        [1, 2],
        [2, 4],
        [0.5, 1],
      ]),
    ),
  ).toBeCloseTo(0, 6);
  // Unit rows [1, 0] and [0, 1]: a deviation of 1/2 in both columns.
  expect(
    deviation(
      featuresOf([
        [3, 0],
        [0, 7],
      ]),
    ),
  ).toBeCloseTo(Math.SQRT1_2, 6);
});
