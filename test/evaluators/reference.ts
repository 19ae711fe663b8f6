/** What scikit-learn makes of features that a formula gives (reference/make_evaluation_reference.py). */
import { readFileSync } from "node:fs";
import type { LabelledFeatures } from "../../src/evaluators/evaluator.ts";
import { labelled } from "./toy.ts";

interface Shape {
  train: number;
  test: number;
  classes: number;
  width: number;
  spread: number;
}

interface LogisticCase extends Shape {
  preparation: "paper" | "none";
  intercept: boolean;
  lambda: number;
  objective: number;
  accuracy: number;
  weights: number[];
}

interface NeighboursCase extends Shape {
  k: number;
  temperature: number | null;
  accuracy: number;
  predictions: string;
  leaveOneOut: number;
  withoutSelf: string;
}

export const reference = JSON.parse(readFileSync("test/fixtures/evaluation.json", "utf8")) as {
  logistic: LogisticCase[];
  neighbours: NeighboursCase[];
};

export function featuresBy({ train, test, classes, width, spread }: Shape) {
  const make = (count: number, offset: number): LabelledFeatures => {
    const noise = (i: number, j: number) =>
      Math.sin(0.37 * (i + offset) * (j + 1) + j) + Math.sin(1.3 * (i + offset) + 0.7 * j * j);
    return labelled(
      Array.from({ length: count }, (_, i) =>
        Array.from(
          { length: width },
          (_, j) => 0.5 + Math.sin(1.7 * ((i % classes) + 1) * (j + 1)) + spread * noise(i, j),
        ),
      ),
      Array.from({ length: count }, (_, i) => (i + Number(i % 11 === 10)) % classes),
    );
  };
  return { train: make(train, 0), test: make(test, 1000) };
}
