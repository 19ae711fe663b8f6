/**
 * From images to an encoder to the pictures that look alike.
 *
 *     node dist/examples/quickstart.js photos      your images: a folder, flat or nested, no labels needed
 *     node dist/examples/quickstart.js             drawings made on the spot
 *
 * A few epochs of a tiny model show how the parts fit; `automatic` chooses better settings for real work.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  evaluate,
  evaluators,
  method,
  loadEncoder,
  openSource,
  pretrain,
  type SourceInput,
  writeReport,
} from "layergraft";

export async function quickstart(images: SourceInput, out: string, epochs = 3) {
  const source = await openSource(images);
  const batch = Math.min(32, source.length);
  const recipe = method("layer-grafted", {
    data: images,
    model: { imageSize: 32, patchSize: 8, width: 96, depth: 3, heads: 3 },
    resize: 32,
    mim: { epochs, batch, learningRate: 2e-3 },
    cl: { epochs, batch, learningRate: 2e-3, mlpDim: 128, dim: 64 },
  });
  await pretrain({
    recipe,
    out,
    onEvent: (event) => {
      if (event.kind === "step") console.log(`${event.row.stage} step ${event.row.step}: loss ${event.row["loss"]}`);
    },
  });

  if (source.classes.length > 1) {
    const { columns, rows } = await evaluate(out, { protocols: ["knn"] });
    for (const { name, title } of columns) console.log(`${title}: k-NN ${(100 * rows[0]!.values[name]!).toFixed(1)} %`);
  }

  const encoder = await loadEncoder(out);
  const features = await encoder.features(source);
  await encoder.release();
  const { indices, similarities } = await evaluators.neighbours(features, features, 2);
  for (let i = 0; i < Math.min(5, source.length); i++) {
    const at = 2 * i + Number(indices[2 * i] === i); // an image is its own nearest neighbour
    console.log(`${source.id(i)} is most like ${source.id(indices[at]!)} (${similarities[at]!.toFixed(3)})`);
  }
  console.log(`report: ${writeReport(out)}`);
  return features;
}

if (import.meta.filename === process.argv[1]) {
  const folder = process.argv[2];
  const images: SourceInput =
    folder === undefined
      ? { kind: "synthetic", length: 128, size: 32 }
      : { kind: "folder", path: folder, shortSide: 64 };
  await quickstart(images, join(mkdtempSync(join(tmpdir(), "layergraft-")), "quickstart"));
}
