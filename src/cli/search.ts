import { Command } from "commander";
import { openFeatures } from "../interop/features-file.ts";
import { printable } from "../tensor/text.ts";
import { featureOf, nearest, rowNamed } from "../interop/search.ts";
import { whole } from "./options.ts";
import { createOutput } from "./progress.ts";
import { align } from "./table.ts";

interface Options {
  row?: string;
  encoder?: string;
  stage?: string;
  count: number;
  column?: string;
  threads?: number;
  json: boolean;
}

export function searchCommand(): Command {
  return new Command("search")
    .description("find the images most similar to one, in a file of features")
    .argument("<features>", "what layergraft embed wrote, or another .parquet or .npy file of features")
    .argument("[image]", "image file to compare with")
    .option("--row <name>", "compare with a row of the file instead, which is left out of the answer")
    .option("--encoder <run>", "run folder or checkpoint that made the features (default: what the file says)")
    .option("--stage <name>", "of --encoder: the stage whose encoder it is (default: the last)")
    .option("-k, --count <n>", "how many", whole(), 10)
    .option("--column <name>", "of a .parquet file: the column of the features (default: feature, or the only one)")
    .option("--threads <n>", "of the encoder (default: all cores)", whole())
    .option("--json", "print the result as JSON", false)
    .addHelpText("after", "\nExample:\n  layergraft search pets.parquet query.jpg -k 5")
    .action(async (path: string, image: string | undefined, options: Options) => {
      const { row: name, count, json } = options;
      if ((image === undefined) === (name === undefined))
        throw new Error("name one thing to search for: an image file, or a row of the file (--row)");
      const output = createOutput({ json });
      const file = await openFeatures(path, options);
      try {
        let found;
        const missing: string[] = [];
        const onMissing = (name: string) => void missing.push(name);
        if (image !== undefined) found = await nearest(file, await featureOf(image, file, options), count, onMissing);
        else {
          const { row, feature } = await rowNamed(file, name!);
          found = (await nearest(file, feature, count + 1, onMissing))
            .filter((each) => each.row !== row)
            .slice(0, count);
        }
        if (missing.length > 0)
          output.say(
            `left out: ${missing.length.toLocaleString("en")} of ${file.count.toLocaleString("en")} rows, which have no ` +
              `feature (the first: ${printable(missing[0]!)})`,
          );
        const isLabelled = found.some(({ label }) => label !== undefined);
        const lines = found.map(({ name, label = "–", similarity }, i) => [
          String(i + 1),
          similarity.toFixed(4),
          name,
          ...(isLabelled ? [label] : []),
        ]);
        output.say(align([["rank", "similarity", "path", ...(isLabelled ? ["label"] : [])], ...lines], [0, 2, 3]));
        output.result({ kind: "neighbours", of: image ?? name, found });
      } finally {
        file.close();
      }
    });
}
