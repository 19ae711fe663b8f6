/** Seeded drawings of coloured shapes, made on the spot: data for tests that need no file. */
import * as z from "zod";
import { fold, key, Random } from "../../tensor/random.ts";
import type { DirectKind } from "./kind.ts";
import type { Pixels, Source } from "../source.ts";

const schema = z.strictObject({
  kind: z.literal("synthetic"),
  length: z.int().min(1).default(64),
  size: z.int().min(4).default(32).describe("side of the images, in pixels"),
  seed: z.int().default(0),
});

export const synthetic: DirectKind<typeof schema> = { schema, imageSize: ({ size }) => size, open };

/** Whether (x, y), from -1 to 1 around the shape's centre, lies inside. */
const shapes: Readonly<Record<string, (x: number, y: number) => boolean>> = {
  disc: (x, y) => x * x + y * y < 1,
  square: (x, y) => Math.max(Math.abs(x), Math.abs(y)) < 0.85,
  cross: (x, y) => Math.min(Math.abs(x), Math.abs(y)) < 0.3 && Math.max(Math.abs(x), Math.abs(y)) < 1,
  stripes: (x, y) => Math.max(Math.abs(x), Math.abs(y)) < 1 && Math.floor((x + 1) * 3) % 2 === 0,
};
const classes = Object.keys(shapes);

/** Image `i` shows shape `i % 4` in a colour, place and size of its own, on another colour. */
function open({ length, size, seed }: z.infer<typeof schema>): Source {
  const label = (i: number) => i % classes.length;
  const id = (i: number) => `${classes[label(i)]} ${i}`;
  const load = async (i: number): Promise<Pixels> => {
    const random = new Random(fold(key(seed), "synthetic", i));
    const colour = () => [random.integer(256), random.integer(256), random.integer(256)] as const;
    const [ground, ink] = [colour(), colour()];
    const radius = size * random.uniform(0.2, 0.4);
    const [x0, y0] = [random.uniform(0.35, 0.65) * size, random.uniform(0.35, 0.65) * size];
    const inside = shapes[classes[label(i)]!]!;
    const data = new Uint8Array(size * size * 3);
    for (let y = 0; y < size; y++)
      for (let x = 0; x < size; x++)
        data.set(inside((x + 0.5 - x0) / radius, (y + 0.5 - y0) / radius) ? ink : ground, (y * size + x) * 3);
    return { width: size, height: size, data };
  };
  return { name: "synthetic", length, classes, id, label, load };
}
