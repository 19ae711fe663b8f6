/** Pictures of what a run has learned: reconstructions and nearest neighbours, written into its samples folder. */
import { fold, key, Random } from "../tensor/random.ts";
import { type Tensor, tensor } from "../tensor/tensor.ts";
import { input } from "../graph/ops/index.ts";
import type { Device } from "../backend/device.ts";
import { openBackend } from "../backend/open.ts";
import { patchCount } from "../nn/vit.ts";
import { Scope } from "../nn/scope.ts";
import { evaluationBatches } from "../data/batches/evaluation.ts";
import { denormalise } from "../data/augmentation/denormalise.ts";
import type { Source } from "../data/source.ts";
import { subset } from "../data/sources/subset.ts";
import type { Features } from "../evaluators/evaluator.ts";
import { neighbours } from "../evaluators/neighbours.ts";
import { tasksOf } from "./tasks.ts";
import { reconstruct } from "../objectives/mae.ts";
import { listCheckpoints, readCheckpoint } from "../run/checkpoint.ts";
import { openRun } from "../run/folder.ts";
import { type Neighbours, type Reconstructions, writePicture, writeSamples } from "../run/samples.ts";
import { candidatesOf } from "./candidates.ts";
import { defineRecipe, type Recipe, type Stage } from "../recipe/recipe.ts";
import { resolveStage } from "../recipe/stage.ts";
import { thumbnails } from "./thumbnails.ts";

const shownReconstructions = 8;
const shownQueries = 8;
const shownNeighbours = 5;
const galleryLimit = 5000;

/** Draws whatever the run's stages and data allow. The device is the recipe's unless another is given. */
export async function drawPictures(
  dir: string,
  { device }: { readonly device?: Device | undefined } = {},
): Promise<void> {
  const saved = defineRecipe(openRun(dir).recipe);
  const recipe = device === undefined ? saved : { ...saved, device };
  const { shown } = await tasksOf(recipe.data, { seed: recipe.seed });
  const reconstructions = await drawReconstructions(dir, recipe, shown);
  writeSamples(dir, { reconstructions, neighbours: await drawNeighbours(dir, recipe, shown) });
}

/** Input, what the masked autoencoder sees, and its guess, for a few images; undefined without a finished MAE stage. */
async function drawReconstructions(dir: string, recipe: Recipe, source: Source): Promise<Reconstructions | undefined> {
  const mimOf = ({ objective }: Stage) => (objective.kind === "joint" ? objective.mim : objective);
  const stage = recipe.stages.find((each) => mimOf(each).kind === "mae");
  const checkpoint = listCheckpoints(dir).find((each) => each.stage === stage?.name && each.final);
  if (stage === undefined || checkpoint === undefined) return undefined;
  const objective = mimOf(stage);
  if (objective.kind !== "mae") return undefined;
  const { model } = recipe;
  const { imageSize, patchSize } = model;
  const view = recipe.evaluationView;
  const count = Math.min(source.length, shownReconstructions);
  const indices = choose(source, source.length, recipe.seed); // as many as it takes to find enough readable ones
  const onUnreadable = () => undefined;
  const { value: batch } = await evaluationBatches(source, view, count, { indices, onUnreadable }).next();
  if (batch === undefined) return undefined;
  const patches = patchCount(model);

  const scope = new Scope();
  const images = input("images", "float32", [count, 3, imageSize, imageSize]);
  const noise = input("noise", "float32", [count, patches]);
  const program = await openBackend(recipe).compile(
    reconstruct(scope, model, objective, { images, noise }, resolveStage(recipe, stage).objective.encoder),
  );
  const { tensors } = readCheckpoint(checkpoint.path);
  const random = new Random(fold(key(recipe.seed), "reconstruction noise"));
  const draws = tensor(
    "float32",
    [count, patches],
    Float32Array.from({ length: count * patches }, () => random.uniform()),
  );
  const feeds: Record<string, Tensor> = { noise: draws };
  for (const name of scope.variables.keys()) feeds[name] = tensors.get(name)!;
  feeds["images"] = batch.images;
  const result = await program.run(feeds);
  await program.release();
  const prediction = result["prediction"]!.data as Float32Array;
  const mask = result["mask"]!.data as Float32Array;

  const items: Reconstructions["items"] = [];
  const size = 3 * imageSize ** 2;
  for (const [i, index] of batch.indices.entries()) {
    const planes = batch.images.data.slice(i * size, (i + 1) * size);
    const masked = planes.slice();
    const guessed = planes.slice();
    for (let patch = 0; patch < patches; patch++) {
      if (mask[i * patches + patch] === 0) continue;
      const at = pixelsOfPatch(patch, imageSize, patchSize);
      const start = (i * patches + patch) * at.length;
      const { mean, deviation } = objective.normPix ? momentsOf(planes, at) : { mean: 0, deviation: 1 };
      for (const [j, place] of at.entries()) {
        masked[place] = 0; // the data set's mean colour
        guessed[place] = prediction[start + j]! * deviation + mean;
      }
    }
    const names = { input: `r${i}-input.png`, masked: `r${i}-masked.png`, reconstructed: `r${i}-reconstructed.png` };
    for (const [kind, pixels] of Object.entries({ input: planes, masked, reconstructed: guessed }))
      await writePicture(dir, names[kind as keyof typeof names], denormalise(pixels, view));
    items.push({ id: source.id(index), ...names });
  }
  const note = objective.normPix
    ? "The model predicts pixels normalised within each patch; the brightness and contrast of each hidden patch are put back from the original."
    : "Hidden patches are filled with the model's prediction.";
  return { stage: stage.name, items, note };
}

/** Positions in [3, S, S] of a patch's numbers in the order of a prediction: row, column, channel. */
function pixelsOfPatch(patch: number, imageSize: number, patchSize: number): number[] {
  const perRow = imageSize / patchSize;
  const [top, left] = [Math.floor(patch / perRow) * patchSize, (patch % perRow) * patchSize];
  const places: number[] = [];
  for (let row = 0; row < patchSize; row++)
    for (let column = 0; column < patchSize; column++)
      for (let channel = 0; channel < 3; channel++)
        places.push(channel * imageSize ** 2 + (top + row) * imageSize + left + column);
  return places;
}

function momentsOf(planes: Float32Array, places: readonly number[]): { mean: number; deviation: number } {
  const mean = places.reduce((sum, at) => sum + planes[at]!, 0) / places.length;
  const variance = places.reduce((sum, at) => sum + (planes[at]! - mean) ** 2, 0) / (places.length - 1);
  return { mean, deviation: Math.sqrt(variance + 1e-6) };
}

/** A few queries and what each encoder holds to be most alike among the shown images. */
async function drawNeighbours(dir: string, recipe: Recipe, all: Source): Promise<Neighbours | undefined> {
  const gallery = all.length > galleryLimit ? subset(all, choose(all, galleryLimit, recipe.seed)) : all;
  const view = recipe.evaluationView;
  const picture = thumbnails(dir, "n", gallery, view);

  const candidates = candidatesOf(dir, recipe);
  const computed: Features[] = [];
  for (const { open } of candidates) {
    const { features, release } = await open();
    computed.push(await features(gallery));
    await release();
  }
  const bad = new Set(computed[0]!.unreadable?.map(({ index }) => index));
  const readable = Array.from({ length: gallery.length }, (_, i) => i).filter((i) => !bad.has(i));
  if (readable.length < shownNeighbours + 1) return undefined;
  const queries = choose(gallery, gallery.length, recipe.seed + 1)
    .filter((i) => !bad.has(i))
    .slice(0, shownQueries);
  const results = queries.map((): Neighbours["queries"][number]["results"] => ({}));
  const labelled = gallery.classes.length > 0;
  for (const [e, { name }] of candidates.entries()) {
    const found = await neighbours(
      rowsOf(computed[e]!, queries),
      rowsOf(computed[e]!, readable),
      shownNeighbours + 1, // the query itself is among them
      { device: recipe.device, threads: recipe.threads },
    );
    for (const [q, query] of queries.entries()) {
      const places = Array.from({ length: shownNeighbours + 1 }, (_, j) => q * (shownNeighbours + 1) + j);
      const others = places.filter((at) => readable[found.indices[at]!] !== query).slice(0, shownNeighbours);
      results[q]![name] = await Promise.all(
        others.map(async (at) => {
          const index = readable[found.indices[at]!]!;
          const hit = labelled ? { hit: gallery.label(index) === gallery.label(query) } : {};
          return { id: gallery.id(index), image: await picture(index), similarity: found.similarities[at]!, ...hit };
        }),
      );
    }
  }
  const shown = await Promise.all(
    queries.map(async (index, q) => ({ id: gallery.id(index), image: await picture(index), results: results[q]! })),
  );
  return { encoders: candidates.map(({ name, title }) => ({ name, title })), queries: shown };
}

function rowsOf({ rows, width }: Features, indices: readonly number[]): Features {
  const picked = new Float32Array(indices.length * width);
  for (const [i, index] of indices.entries()) picked.set(rows.subarray(index * width, (index + 1) * width), i * width);
  return { rows: picked, count: indices.length, width };
}

/** A fixed random choice of images. */
function choose(source: Source, count: number, seed: number): number[] {
  const order = new Random(fold(key(seed), "pictures")).permutation(source.length);
  return Array.from(order.subarray(0, Math.min(count, source.length)));
}
