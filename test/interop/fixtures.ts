/** Small checkpoints of other codes and their features (reference/make_import_reference.py). */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { tensor } from "../../src/tensor/tensor.ts";
import { loadEncoder } from "../../src/evaluators/encoder.ts";

const folder = "test/fixtures/import";

/** What PyTorch computes, by the name of the case. */
export const expected = Object.assign(
  {},
  ...[1, 2].map((run) => JSON.parse(readFileSync(`${folder}/features-${run}.json`, "utf8")) as object),
) as Record<string, number[]>;

export const model = { imageSize: 16, patchSize: 4, width: 16, depth: 2, heads: 2 };

/** A checkpoint unpacked into a folder, under the name of the fixture or another. */
export function unpack(dir: string, name: string, as = name): string {
  const path = join(dir, as);
  mkdirSync(dirname(path), { recursive: true });
  writeFileSync(path, gunzipSync(readFileSync(`${folder}/${name}.gz`)));
  return path;
}

/** The reference's images, [2, 3, 16, 16]. */
export function images() {
  const result = tensor("float32", [2, 3, 16, 16]);
  for (let i = 0; i < result.data.length; i++) {
    const [x, y, c, n] = [i % 16, (i >> 4) % 16, (i >> 8) % 3, Math.floor(i / 768)];
    const pixel = ((31 * x + 57 * y + 101 * c + 77 * n) * (x + 3 * y + 2 * n + 1)) % 256;
    result.data[i] = pixel / 128 - 1;
  }
  return result;
}

/** Features of the reference's images by an encoder in a file. */
export async function featuresOf(path: string): Promise<Float32Array> {
  const encoder = await loadEncoder(path, { threads: 1, batch: 2 });
  const { data } = await encoder.encode(images());
  await encoder.release();
  return data;
}
