/** Pictures of an encoder's mistakes, and confusion.json, which says what they show. */
import { fold, key, Random } from "../tensor/random.ts";
import type { Source } from "../data/source.ts";
import { confusionCounts, worstPairs } from "../evaluators/confusion.ts";
import { type Confusion, writeConfusion } from "../run/confusion.ts";
import { openRun } from "../run/folder.ts";
import { defineRecipe } from "../recipe/recipe.ts";
import { thumbnails } from "../measure/thumbnails.ts";

const shownPairs = 8;
const shownMistakes = 5;
const shownExamples = 3;

export interface ConfusionInput {
  readonly source: Source;
  /** The test split: indices of images of `source`. */
  readonly rows: ArrayLike<number>;
  /** True and predicted class of each row. */
  readonly labels: Int32Array;
  readonly predictions: Int32Array;
  /** Names of the classes. */
  readonly classes: readonly string[];
  readonly encoder: Confusion["encoder"];
  /** How the classes were predicted, for people: `k-NN, 10 classes`. */
  readonly label: string;
}

/** Counts what is taken for what, and draws images of the worst pairs; the same run and predictions give the same choice. */
export async function drawConfusion(dir: string, input: ConfusionInput): Promise<Confusion> {
  const { source, rows, labels, predictions, classes, encoder, label } = input;
  const recipe = defineRecipe(openRun(dir).recipe);
  const draw = thumbnails(dir, "c", source, recipe.evaluationView);
  const order = [...new Random(fold(key(recipe.seed), "confusion")).permutation(labels.length)];
  const pictures = (chosen: readonly number[], limit: number) =>
    Promise.all(chosen.slice(0, limit).map(async (i) => ({ id: source.id(rows[i]!), image: await draw(rows[i]!) })));
  const counts = confusionCounts(labels, predictions, classes.length);
  const pairs: Confusion["pairs"] = [];
  for (const pair of worstPairs(counts, shownPairs)) {
    const { truth, predicted } = pair;
    const mistaken = order.filter((i) => labels[i] === truth && predictions[i] === predicted);
    const isRecognised = (i: number) => Number(predictions[i] === predicted);
    const alike = order.filter((i) => labels[i] === predicted).sort((a, b) => isRecognised(b) - isRecognised(a));
    const images = await pictures(mistaken, shownMistakes);
    pairs.push({ ...pair, images, examples: await pictures(alike, shownExamples) });
  }
  const confusion = { data: source.name, encoder, label, classes: [...classes], counts, pairs };
  writeConfusion(dir, confusion);
  return confusion;
}
