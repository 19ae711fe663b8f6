/** layergraft as a library: pre-train an encoder, measure it, use it. */

// Train and measure: what the command line does, as functions.
export { assistPretrain, pretrain, type PretrainOptions, type PretrainResult } from "./train/pretrain.ts";
export { launched } from "./collective/launch.ts";
export { baselines, type Candidate } from "./measure/candidates.ts";
export { evaluate, evaluateEncoders, type EvaluateOptions } from "./measure/evaluate.ts";
export { analyse, analyseEncoders, type AnalyseOptions } from "./measure/analyse.ts";
export { fineTune, type FineTuned, type FineTuneData, type FineTuneOptions } from "./measure/finetune.ts";
export { fineTunePresets, type FineTuneSettings } from "./measure/finetune-settings.ts";
export { evaluateLayers, type LayersOptions, measureLayers } from "./measure/layers.ts";
export { questionsOf, splitsOf } from "./measure/questions.ts";
export { type ConflictOptions, measureConflict } from "./measure/conflict.ts";
export { type RunOptions, runStudy, type StudyEvent, type StudyOutcome } from "./study/run.ts";
export type { StudyOptions } from "./study/design.ts";
export type { StudyResults } from "./study/results.ts";
export type { TrainEvent } from "./train/events.ts";
export type { StageEstimate } from "./cost/estimate.ts";
export { type Forecast, forecast, type ForecastOptions, measureSpeed } from "./cost/forecast.ts";
export { rehearse, type Rehearsal, type RehearseOptions } from "./cost/rehearse.ts";
export { drawPictures } from "./measure/pictures.ts";
export { renderReport, writeReport } from "./report/report.ts";

// Recipes: plain objects that say everything about a run.
export { defineRecipe, type Recipe, type RecipeInput, type Stage } from "./recipe/recipe.ts";
export { automatic, type AutomaticOptions, bothLosses } from "./methods/automatic.ts";
export { demo, type DemoSize } from "./methods/demo.ts";
export {
  type ClOptions,
  type GraftOptions,
  method,
  type Method,
  type MethodOptions,
  methods,
  type MimOptions,
  type MtlOptions,
  type StageOptions,
} from "./methods/methods.ts";
export { paper, paperEvaluations, type PaperOptions, paperRecipes } from "./methods/paper.ts";
export { layerDecay, lower, stages, upper, type RateRule } from "./optim/groups.ts";
export { presets, type VitConfig } from "./nn/vit.ts";

// Use a trained encoder.
export { createEncoder, type Encoder, type EncoderOptions, loadEncoder, pixelFeatures } from "./evaluators/encoder.ts";
export type { Evaluator, EvaluatorOptions, Features, LabelledFeatures, Score, Splits } from "./evaluators/evaluator.ts";
export { cka, gram } from "./evaluators/cka.ts";
export { drawLabels, fewShot, type FewShotOptions, type Shots } from "./evaluators/few-shot.ts";
export { openInside } from "./evaluators/inside.ts";
export { knn, type KnnOptions, leaveOneOut } from "./evaluators/knn.ts";
export { linear, type LinearOptions } from "./evaluators/linear.ts";
export { augmentedLinearSweep, linearSweep, type SweepOptions } from "./evaluators/linear-sweep.ts";
export { sweepRecipes } from "./evaluators/sweep-recipe.ts";
export { mapOf } from "./evaluators/map.ts";
export { statistics } from "./evaluators/statistics.ts";
export { neighbours, type Neighbours } from "./evaluators/neighbours.ts";
export { type Collection, retrieval } from "./evaluators/retrieval.ts";
export {
  accuracy,
  type Asked,
  type Metric,
  type Protocol,
  type ProtocolOptions,
  type Subject,
  type Task,
} from "./measure/protocol.ts";
export { type ProtocolName, protocols, type ProtocolSettings } from "./measure/protocols/index.ts";
export type { TaskOptions } from "./measure/tasks.ts";

// Weights from elsewhere and for elsewhere, features in files.
export { type ImportReport, importWeights, type ReadOptions } from "./interop/import.ts";
export { openTorchFile, type TorchFile, TorchTensor, type TorchValue } from "./interop/torch-file.ts";
export { exportEncoder, type ExportOptions } from "./interop/export/export.ts";
export { exportOnnx, type OnnxOptions } from "./interop/export/onnx.ts";
export { type Embedded, embedImages, type EmbedOptions } from "./interop/embed.ts";
export { createFeatures, openFeatures } from "./interop/features-file.ts";
export type { FeaturesFile } from "./interop/features.ts";
export { type Found, nearest } from "./interop/search.ts";

// Images.
export { mix, type MixOptions } from "./data/augmentation/mix.ts";
export { rowsOfSplitFile } from "./data/formats/image-list.ts";
export { openFiles } from "./data/sources/files.ts";
export type { Pixels, Source, Split } from "./data/source.ts";
export type { Pairing, Question, Questions } from "./data/question.ts";
export { indexOf, openSource, type SourceInput, type SourceSpec } from "./data/sources/open.ts";
export type { SourceKind } from "./data/sources/kind.ts";
export type { ImageIndex } from "./data/sources/image-index.ts";
export { subset } from "./data/sources/subset.ts";
export { evaluationBatches } from "./data/batches/evaluation.ts";
export {
  type CenterView,
  centerCrop,
  fineTuneView,
  maeView,
  mocoViews,
  noise,
  type ViewInput,
  type ViewSpec,
} from "./data/augmentation/views.ts";

// Run folders.
export { type CheckpointName, listCheckpoints, readCheckpoint } from "./run/checkpoint.ts";
export { type Analysis, readAnalysis } from "./run/analysis.ts";
export { type Layers, readLayers } from "./run/layers.ts";
export { type Conflict, readConflict } from "./run/conflict.ts";
export { type PlannedGraft, readPlan } from "./run/graft-plan.ts";
export { type Evaluation, readEvaluation } from "./run/evaluation.ts";
export { type Run, openRun } from "./run/folder.ts";
export { type MetricRow, readMetrics } from "./run/metrics.ts";

// Numbers.
export type { DType } from "./tensor/dtype.ts";
export { fold, key, type Key, Random } from "./tensor/random.ts";
export { decodeSafetensors, encodeSafetensors, type TensorFile } from "./tensor/safetensors.ts";
export type { Shape } from "./tensor/shape.ts";
export { type Tensor, tensor } from "./tensor/tensor.ts";
