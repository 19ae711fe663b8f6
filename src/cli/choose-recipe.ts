/** From the options of `layergraft pretrain` to a recipe: chosen for the images, or read from a file, then adjusted. */
import type { Source } from "../data/source.ts";
import { openSource, type SourceInput } from "../data/sources/open.ts";
import type { CenterView } from "../data/augmentation/views.ts";
import type { PatchDrop } from "../objectives/mocov3.ts";
import { operationsPerSecond } from "../cost/speed.ts";
import { automatic } from "../methods/automatic.ts";
import type { Method } from "../methods/methods.ts";
import { type Recipe, type RecipeInput } from "../recipe/recipe.ts";
import { resolveStage } from "../recipe/stage.ts";
import { sourceAt } from "./data.ts";
import { imageSettings } from "./image-options.ts";
import { describeImport } from "./import.ts";
import type { Output } from "./progress.ts";
import { defined, isGiven, isMethod, kebabCase, methodOf, type RecipeOptions } from "./recipe-options.ts";
import { fitsDecoder, fitToStart, openStart, type Start, startFrom, takesFirstStage } from "./start.ts";
import { checkpoint, firstStage, namedRecipe, withCommonOptions } from "./written-recipe.ts";

/** A checked recipe, and the file of `--init` that it starts from. */
export interface ChosenRecipe {
  readonly recipe: Recipe;
  readonly start?: Start;
}

/** The checked recipe, said in a few lines. Throws one sentence when the options and the images do not go together. */
export async function chooseRecipe(images: string, options: RecipeOptions, output: Output): Promise<ChosenRecipe> {
  const { recipe: name, init } = options;
  if (init === undefined && options.heads !== undefined)
    throw new Error("--heads says how many heads the encoder in --init has; give --init too");
  if (init === undefined && options.encoder !== undefined)
    throw new Error("--encoder says which encoder of --init is meant; give --init too");
  const start = init === undefined ? undefined : await openStart(init, options);
  const data = await sourceAt(images, output, {
    ...options,
    ...imageSettings(options.set),
    classesAre: "used for evaluation only",
    keptRange: start?.range,
  });
  const source = await openSource(data);
  const chosenMethod = methodOf(name);
  const chosen = isMethod(name)
    ? await forImages(data, source, name, options, start, output)
    : namedRecipe(data, options, start);
  const skipped = start !== undefined && chosenMethod !== undefined && takesFirstStage(start, chosenMethod);
  const recipe = withCommonOptions(start === undefined || skipped ? chosen : startFrom(chosen, start.path), options);
  if (start !== undefined) {
    const { own, report } = start;
    if (!own) output.say(describeImport(report));
    const [first] = recipe.stages;
    const { name: stage } = first!;
    const { metadata } = resolveStage(recipe, first!).objective;
    // a checkpoint of ours that is silent about its decoder has it loaded where it fits
    const silent = metadata?.["decoder"] === undefined || (own && report.decoder === undefined);
    const decoder = silent ? "" : fitsDecoder(start, recipe) ? ", with its decoder" : ", with a fresh decoder";
    const said = ({ mean, std }: CenterView) => `mean ${mean.join(", ")} and std ${std.join(", ")}`;
    const [asked, known] = [said(recipe.evaluationView), said(report.view)];
    if (asked !== known) output.say(`${name} normalises images by ${asked}, but the encoder was trained with ${known}`);
    output.say(
      skipped
        ? `stage mim is skipped: ${init} holds a MIM encoder (${report.title})`
        : `stage ${stage} starts from ${init} (${report.title})${decoder}`,
    );
  }

  const available = Math.min(source.length, recipe.limit ?? Infinity);
  const batch = Math.max(options.batch ?? 0, ...recipe.stages.map((stage) => stage.batch));
  if (batch > available)
    throw new Error(
      `a batch of ${batch} is larger than the data set of ${available} images; set it to ${available} or less`,
    );
  const { imageSize, patchSize, width, depth, heads } = recipe.model;
  output.say(`model ${imageSize} px, patch ${patchSize}, width ${width}, depth ${depth}, heads ${heads}`);
  for (const stage of recipe.stages)
    output.say(
      `  ${stage.name.padEnd(4)} ${stage.epochs} epochs, batch ${stage.batch}, learning rate ${stage.learningRate} (for 256)`,
    );
  return { recipe, ...defined({ start }) };
}

async function forImages(
  data: SourceInput,
  source: Source,
  name: Method,
  options: RecipeOptions,
  start: Start | undefined,
  output: Output,
): Promise<RecipeInput> {
  const { imageSize, patchSize, epochs, batch, learningRate, hours } = options;
  const {
    maskRatio,
    normPix,
    temperature,
    momentum,
    rates,
    layerDecay,
    fixTo,
    freshEnd,
    lazy,
    l1Anchor,
    schedule,
    knn: watch,
  } = options;
  const [given, endFrom] = [checkpoint("parent", options.parent), checkpoint("end-from", options.endFrom)];
  const first = start !== undefined && takesFirstStage(start, name) ? start.path : undefined;
  const parent = firstStage(given, first, options);
  const model = start?.report.model ?? options.model;
  const grafting = ["parent", "rates", "layerDecay", "fixTo", "freshEnd", "endFrom", "lazy", "l1Anchor"] as const;
  const unused = grafting.find((each) => isGiven(options, each));
  if (unused !== undefined && (name === "mim" || name === "cl" || name === "mtl"))
    throw new Error(`--${kebabCase(unused)} says how a second stage builds on the first, but ${name} has one stage`);
  const settings = {
    data,
    method: name,
    mim: defined({ objective: options.mim, schedule, maskRatio, ...(normPix === false ? { normPix } : {}) }),
    cl: defined({ objective: options.cl, schedule, temperature, momentum, patchDrop: patchDropOf(options) }),
    graft: defined({ rates, layerDecay, fixTo, freshEnd, endFrom, lazy, l1Anchor }),
    images: source.length,
    shortSide: await typicalShortSide(source),
    ...defined({ model, imageSize, patchSize, batch, learningRate, hours, parent, watch }),
    ...(epochs === undefined ? {} : { epochs: { mim: epochs, cl: epochs } }),
  };
  const rough = automatic(settings);
  const isTimed = hours !== undefined && epochs === undefined;
  const recipe = isTimed ? automatic({ ...settings, speed: await speedOf(rough, options, output) }) : rough;
  return start === undefined ? recipe : fitToStart(recipe, start);
}

/** Operations a second, measured in a few steps of `recipe` and told. */
async function speedOf(recipe: RecipeInput, options: RecipeOptions, output: Output): Promise<number> {
  output.work("timing a few steps", 0, 1);
  const speed = await operationsPerSecond(withCommonOptions(recipe, options));
  output.work("", 1, 1);
  output.say(`${Number((speed / 1e9).toPrecision(2))} billion operations a second, as measured in a few steps`);
  return speed;
}

function patchDropOf({ patchDrop, contrastiveMae }: RecipeOptions): PatchDrop | undefined {
  if (patchDrop !== undefined && contrastiveMae !== undefined)
    throw new Error("--patch-drop and --contrastive-mae both say which patches CL sees; give one of them");
  if (patchDrop !== undefined) return { ratio: patchDrop, keys: "same" };
  return contrastiveMae === undefined ? undefined : { ratio: contrastiveMae, keys: "all" };
}

/** Median shorter side of some images that can be read. */
async function typicalShortSide(source: Source): Promise<number> {
  const sides: number[] = [];
  const stride = Math.max(1, Math.floor(source.length / 16));
  for (let i = 0; i < source.length && sides.length < 16; i += stride) {
    const pixels = await source.load(i).catch(() => undefined);
    if (pixels !== undefined) sides.push(Math.min(pixels.width, pixels.height));
  }
  return sides.sort((a, b) => a - b)[Math.floor(sides.length / 2)] ?? 224;
}
