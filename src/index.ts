/**
 * layergraft as a library: pre-train an encoder, measure it, use it. What one starts with is here by its name; the rest
 * stands in groups: `rates.stages(12, [0.1, 0.1, 1])`, `evaluators.knn`.
 */

// Groups.
/** Rules by parameter name, as a recipe's `rates` takes them: how fast what learns. */
export * as rates from "./optim/groups.ts";
/** What a batch shows of an image, as a recipe's `views` takes it. */
export * as views from "./data/augmentation/index.ts";
/** What stands behind a source of images: files, indexes, split files. */
export * as sources from "./data/sources/index.ts";
/** Ways to measure features, one by one; `evaluate` runs them on a run. */
export * as evaluators from "./evaluators/index.ts";
/** What a protocol of one's own is made of; `evaluate` takes it beside the built-in ones. */
export * as protocol from "./measure/protocol.ts";
/** Run folders: checkpoints, metrics and documents read. */
export * as runs from "./run/index.ts";
/** The most similar rows in a file of features. */
export * as search from "./interop/search.ts";
/** Random numbers by key: seed, purpose, epoch, index. */
export * as random from "./tensor/random.ts";

// Train and measure: what the command line does, as functions.
export { joinPretrain, pretrain, type PretrainOptions, type PretrainResult } from "./train/pretrain.ts";
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
export type { RateRule } from "./optim/groups.ts";
export { presets as models, type VitConfig } from "./nn/vit.ts";

// Write an objective of one's own; the same without all the rest is `layergraft/objective`.
export * from "./objective.ts";

// Use a trained encoder.
export { createEncoder, type Encoder, type EncoderOptions, loadEncoder } from "./evaluators/encoder.ts";
export type { Evaluator, Features, Score } from "./evaluators/evaluator.ts";
export type { Asked, Metric, Protocol, ProtocolOptions, Subject, Task } from "./measure/protocol.ts";
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

// Images.
export type { Pixels, Source, Split } from "./data/source.ts";
export type { Pairing, Question, Questions } from "./data/question.ts";
export { openSource, type SourceInput, type SourceSpec } from "./data/sources/open.ts";
export type { SourceKind } from "./data/sources/kind.ts";
export { subset } from "./data/sources/subset.ts";
export { evaluationBatches } from "./data/batches/evaluation.ts";
export type { CenterView, ViewInput, ViewSpec } from "./data/augmentation/views.ts";

// What stands in a run folder.
export type { Analysis, Conflict, Evaluation, Layers, MetricRow, PlannedGraft } from "./run/index.ts";

// Devices.
export { type Device, type DeviceOptions, devices } from "./backend/device.ts";
export { type Adapter, findAdapter } from "./backend/adapter.ts";
export { chooseDevice, type DeviceChoice } from "./cost/choose-device.ts";

// Tensors on the host.
export type { DType } from "./tensor/dtype.ts";
export { decodeSafetensors, encodeSafetensors, type TensorFile } from "./tensor/safetensors.ts";
export type { Shape } from "./tensor/shape.ts";
export { type Tensor, tensor } from "./tensor/tensor.ts";
