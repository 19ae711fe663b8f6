/** Run folders: what a run has left on the disk. */
export { type Analysis, readAnalysis } from "./analysis.ts";
export { type CheckpointName, listCheckpoints, readCheckpoint } from "./checkpoint.ts";
export { type Conflict, readConflict } from "./conflict.ts";
export { type Evaluation, readEvaluation } from "./evaluation.ts";
export { type Finish, readFinish } from "./finish.ts";
export { openRun, type Run } from "./folder.ts";
export { type PlannedGraft, readPlan } from "./graft-plan.ts";
export { type Layers, readLayers } from "./layers.ts";
export { type MetricRow, readMetrics } from "./metrics.ts";
