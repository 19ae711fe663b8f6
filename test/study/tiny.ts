/** A study of seconds, on synthetic images. */
import type { StudyOptions } from "../../src/study/design.ts";

/** 48 images, batch 8: 6 steps an epoch. */
export const tiny: StudyOptions = {
  settings: {
    data: { kind: "synthetic", length: 48, size: 16 },
    model: { imageSize: 16, patchSize: 8, width: 16, depth: 3, heads: 2 },
    resize: 16,
    mim: { epochs: 4, batch: 8, learningRate: 0.01 },
    cl: { epochs: 3, batch: 8, learningRate: 0.01, mlpDim: 24, dim: 8 },
  },
  methods: ["mtl", "layer-grafted"],
  seeds: 2,
  search: [1],
  evaluation: { data: { kind: "synthetic", length: 160, size: 16, seed: 1 } },
};
