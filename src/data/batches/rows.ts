/** The rows of a batch: images loaded, views drawn. What a worker thread does; a pure function of seed, epoch, index. */
import { fold, key, Random } from "../../tensor/random.ts";
import { sizeOf } from "../../tensor/shape.ts";
import { augment } from "../augmentation/augment.ts";
import { checkBad, type Skipped } from "./bad.ts";
import { cached } from "../sources/cached.ts";
import { draw } from "../augmentation/draw.ts";
import type { Box } from "../source.ts";
import type { DecodeHint, Pixels, Source } from "../source.ts";
import { type ImageView, shapeOf, type ViewSpec } from "../augmentation/views.ts";

export interface RowOptions {
  readonly views: Readonly<Record<string, ViewSpec>>;
  readonly seed: number;
  /** Decoded images are kept until they take this much. */
  readonly cacheBytes: number;
  /** See checkBad. */
  readonly maxBadShare: number;
  /** Whether the next readable image stands in for one that is not (default). If not, its row is zero and its index -1. */
  readonly standIns?: boolean;
}

export interface Rows {
  /** Per view its samples, one after the other. */
  readonly fields: Record<string, Float32Array<ArrayBuffer>>;
  /** The image in each row: the one asked for, or the next readable one, or -1. */
  readonly indices: Int32Array<ArrayBuffer>;
  /** Unreadable images that were met for the first time, asked for or not. */
  readonly bad: readonly Skipped[];
}

/** Loads that run at a time: files are read, and all but plain JPEG is decoded, on other threads while this one augments. */
const concurrentLoads = 4;

/** So many bad images and no good one among them: nobody looks through a million. */
const mostHopeless = 1000;

/** A function that makes rows of `source`, and remembers decoded and unreadable images from call to call. */
export function rowMaker(source: Source, options: RowOptions): (epoch: number, indices: Int32Array) => Promise<Rows> {
  const { views, seed, cacheBytes, maxBadShare, standIns = true } = options;
  const fieldNames = Object.keys(views);
  const imageViews = Object.entries(views).filter((entry): entry is [string, ImageView] => entry[1].kind !== "noise");
  const images = cached(source, cacheBytes);
  const memory = pixelMemory();
  const allBad = new Map<number, Skipped>();
  let isAnyGood = false;

  /** Keyed by the image asked for: one that stands in for several is augmented differently each time. */
  function randomOf(name: string, epoch: number, index: number): Random {
    return new Random(fold(key(seed), "view", name, epoch, index));
  }

  /** What the views of an image use, all together. */
  function hintAt(epoch: number, index: number): DecodeHint {
    return {
      region: (width, height) =>
        enclosing(imageViews.map(([name, view]) => draw(view, randomOf(name, epoch, index), width, height).crop)),
      memory: (bytes) => memory.lend(bytes),
    };
  }

  async function load(index: number, hint: DecodeHint): Promise<Pixels | undefined> {
    if (allBad.has(index)) return undefined;
    let pixels: Pixels | undefined;
    let reason = "";
    try {
      pixels = await images.load(index, hint);
    } catch (error) {
      reason = error instanceof Error ? error.message : String(error);
    }
    if (pixels === undefined) allBad.set(index, { index, id: source.id(index), reason });
    else isAnyGood = true;
    return pixels;
  }

  /** Image `index`, or the first readable one after it; the search goes round once. */
  async function find(index: number, hint: DecodeHint): Promise<{ index: number; pixels: Pixels | undefined }> {
    if (!standIns) {
      const pixels = await load(index, hint);
      return { index: pixels === undefined ? -1 : index, pixels };
    }
    for (let i = 0; i < source.length; i++) {
      const candidate = (index + i) % source.length;
      const pixels = await load(candidate, hint);
      if (pixels !== undefined) return { index: candidate, pixels };
      const isHopeless = !isAnyGood && allBad.size >= mostHopeless;
      checkBad([...allBad.values()], isHopeless ? allBad.size : source.length, maxBadShare);
    }
    throw new Error(`none of the ${source.length} images of ${source.name} is readable`);
  }

  return async function rows(epoch, indices) {
    const knownBad = allBad.size;
    const fields = Object.fromEntries(
      fieldNames.map((name) => [name, new Float32Array(indices.length * sizeOf(shapeOf(views[name]!)))]),
    );
    const used = Int32Array.from(indices);
    const loads: ReturnType<typeof find>[] = []; // the next few rows, this row's first
    let started = 0;
    for (let row = 0; row < indices.length; row++) {
      let pixels: Pixels | undefined = { width: 0, height: 0, data: new Uint8Array(0) };
      if (imageViews.length > 0) {
        for (; started < Math.min(row + concurrentLoads, indices.length); started++) {
          const next = find(indices[started]!, hintAt(epoch, indices[started]!));
          next.catch(() => undefined); // an earlier row may throw before this one is awaited
          loads.push(next);
        }
        const found = await loads.shift()!;
        used[row] = found.index;
        pixels = found.pixels;
      }
      if (pixels === undefined) continue;
      for (const name of fieldNames) {
        const view = views[name]!;
        const length = sizeOf(shapeOf(view));
        const random = randomOf(name, epoch, indices[row]!);
        augment(pixels, view, random, fields[name]!.subarray(row * length, (row + 1) * length));
      }
      memory.takeBack(pixels.data);
    }
    return { fields, indices: used, bad: [...allBad.values()].slice(knownBad) };
  };
}

/** Of larger images, the memory is small beside the work. */
const mostKept = 2 ** 22;

/** Memory for pixels that is used again and again: half a megabyte of garbage an image costs as much as its view. */
function pixelMemory() {
  const lent = new Set<ArrayBufferLike>();
  const spare: ArrayBufferLike[] = [];
  return {
    lend(bytes: number): Uint8Array {
      let buffer = spare.pop();
      if (buffer === undefined || buffer.byteLength < bytes) buffer = new ArrayBuffer(bytes);
      if (bytes <= mostKept) lent.add(buffer);
      return new Uint8Array(buffer, 0, bytes);
    },
    takeBack(pixels: Uint8Array): void {
      if (lent.delete(pixels.buffer)) spare.push(pixels.buffer);
    },
  };
}

/** The smallest box around all `boxes`. */
function enclosing(boxes: readonly Box[]): Box {
  const left = Math.min(...boxes.map((box) => box.left));
  const top = Math.min(...boxes.map((box) => box.top));
  const width = Math.max(...boxes.map((box) => box.left + box.width)) - left;
  const height = Math.max(...boxes.map((box) => box.top + box.height)) - top;
  return { left, top, width, height };
}
