import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { key } from "../../src/tensor/random.ts";
import { sizeOf } from "../../src/tensor/shape.ts";
import { tensor } from "../../src/tensor/tensor.ts";
import type { Pixels, Source } from "../../src/data/source.ts";
import { centerCrop } from "../../src/data/augmentation/views.ts";
import { byLayer } from "../../src/evaluators/by-layer.ts";
import { cka, gram } from "../../src/evaluators/cka.ts";
import { createEncoder, initialParameters } from "../../src/evaluators/encoder.ts";
import type { Features } from "../../src/evaluators/evaluator.ts";
import { openInside } from "../../src/evaluators/inside.ts";
import { statistics } from "../../src/evaluators/statistics.ts";
import { expectAllclose } from "../helpers.ts";

const model = { imageSize: 12, patchSize: 4, width: 8, depth: 2, heads: 2 };
const view = centerCrop(12, { resize: 12 });
const options = { threads: 1, batch: 4 };

/** What PyTorch and NumPy find (reference/make_analysis_reference.py): [depth or block][image][number]. */
interface Reference extends Record<"features" | "tokens" | "attention" | "distances", number[][][]> {
  statistics: Record<keyof ReturnType<typeof statistics>, number>[];
  cka: number[][];
}

const expected = JSON.parse(readFileSync("test/fixtures/analysis.json", "utf8")) as Reference;

/** The reference's weights. */
const parameters = initialParameters(model, key(0));
const formula = [...parameters.keys()].filter((name) => name !== "pos_embed").sort();
for (const [t, name] of formula.entries()) {
  const { shape } = parameters.get(name)!;
  const offset = /norm.*weight$/.test(name) ? 0.5 : -0.5;
  const weight = (_: unknown, k: number) => ((7919 * k + 104729 * t + k * k) % 1009) / 1009 + offset;
  parameters.set(name, tensor("float32", shape, Float32Array.from({ length: sizeOf(shape) }, weight)));
}

/** The reference's images. */
const source: Source = {
  name: "formula",
  length: 6,
  classes: [],
  id: String,
  label: () => -1,
  load: async (i): Promise<Pixels> => {
    const data = Uint8Array.from({ length: 3 * 144 }, (_, at) => {
      const [c, x, y] = [at % 3, Math.floor(at / 3) % 12, Math.floor(at / 36)];
      return (31 * x + 57 * y + 101 * c + 77 * i) * (x + 3 * y + 2 * i + 1);
    });
    return { width: 12, height: 12, data };
  },
};

describe("an encoder's inside", () => {
  it("is what PyTorch finds, for images that do not fill the last batch", async () => {
    const encoder = await createEncoder(model, view, parameters, options);
    const inside = await openInside(encoder, ["features", "tokens", "distances", "attention"], options);
    const found = await inside.look(source);
    for (const aspect of ["features", "tokens", "distances", "attention"] as const) {
      expect(found[aspect]).toHaveLength(expected[aspect].length);
      for (const [depth, { rows, count }] of found[aspect].entries()) {
        expect(count).toBe(6);
        const numbers = expected[aspect][depth]!.flat();
        expectAllclose(rows, numbers, { absolute: 2e-5, relative: 1e-5 }, `${aspect} ${depth}`);
      }
    }
    expectAllclose(found.features[2]!.rows, (await encoder.features(source)).rows, { absolute: 1e-5 });
    await Promise.all([inside.release(), encoder.release()]);
  });

  it("gives what was asked for alone, and leaves broken images out by name", async () => {
    const broken: Source = {
      ...source,
      load: (i) => (i === 4 ? Promise.reject(new Error("cannot read image 4: torn")) : source.load(i)),
    };
    const inside = await openInside({ model, view, parameters }, ["attention"], options);
    const found = await inside.look(broken);
    await inside.release();
    expect(Object.keys(found)).toEqual(["attention"]);
    const [, last] = found.attention;
    expect(last!.unreadable).toEqual([{ index: 4, id: "4", reason: "cannot read image 4: torn" }]);
    const numbers = expected.attention[1]!.with(
      4,
      Array.from({ length: 9 }, () => 0),
    );
    expectAllclose(last!.rows, numbers.flat(), { absolute: 2e-5 });
  });
});

const reference = (aspect: "features" | "tokens"): Features[] =>
  expected[aspect].map((rows) => ({ rows: Float32Array.from(rows.flat()), count: 6, width: 8 }));

it("statistics are NumPy's, participation ratio from eigenvalues included", () => {
  for (const [depth, tokens] of reference("tokens").entries()) {
    const found = statistics(tokens);
    const names = ["norm", "deviation", "correlation", "participationRatio"] as const;
    expectAllclose(
      names.map((name) => found[name]),
      names.map((name) => expected.statistics[depth]![name]),
      { absolute: 1e-5 },
    );
  }
});

it("CKA is that of centred kernels", () => {
  const found = cka(reference("tokens").map(gram), reference("features").slice(1).map(gram));
  expect(found.map((row) => row.length)).toEqual([2, 2, 2]);
  expectAllclose(found.flat(), expected.cka.flat(), { absolute: 1e-5 });
});

it("by layer, the same is asked of every depth", async () => {
  const asked: Features[] = [];
  const ask = async (features: Features) => {
    asked.push(features);
    return { name: "made up", value: asked.length / 10, validation: 0.5, labels: 3 };
  };
  const scores = await byLayer({ model, view, parameters }, source, ask, options);
  expect(scores).toEqual([
    { depth: 0, value: 0.1, validation: 0.5 },
    { depth: 1, value: 0.2, validation: 0.5 },
    { depth: 2, value: 0.3, validation: 0.5 },
  ]);
  for (const [depth, { rows }] of asked.entries())
    expectAllclose(rows, expected.features[depth]!.flat(), { absolute: 2e-5 });
});
