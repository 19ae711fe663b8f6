import type { StageEstimate } from "../cost/estimate.ts";
import type { MetricRow } from "../run/metrics.ts";

/** What a training tells the outside, as plain data that can cross a process border. */
export type TrainEvent =
  | { readonly kind: "started"; readonly pid: number }
  | { readonly kind: "estimate"; readonly stages: readonly StageEstimate[]; readonly bytes: number }
  | {
      readonly kind: "stage";
      readonly stage: string;
      readonly epochs: number;
      readonly steps: number;
      readonly from: number;
    }
  | { readonly kind: "step"; readonly row: MetricRow; readonly steps: number; readonly images: number }
  | { readonly kind: "checkpoint"; readonly path: string }
  | { readonly kind: "note"; readonly text: string }
  | { readonly kind: "done"; readonly finished: boolean };
