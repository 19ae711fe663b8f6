/** What computes: the names by which recipes, commands and options know a device. */

/** `cuda` needs an NVIDIA card and ONNX Runtime's CUDA libraries, and keeps the training state on the host. */
export const devices = ["cpu", "webgpu", "cuda"] as const;
export type Device = (typeof devices)[number];

/** Where and how something is computed. */
export interface DeviceOptions {
  /** Default: cpu. */
  readonly device?: Device | undefined;
  /** Of the processor (default: the runtime's choice, the number of physical cores). */
  readonly threads?: number | undefined;
}
