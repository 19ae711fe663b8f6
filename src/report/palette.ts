/** One colour for one thing on the whole page: a stage, and the encoder it made. */

/** Colours of stages in the order of training. */
export const stageColors = ["var(--stage-1)", "var(--stage-2)", "var(--stage-3)", "var(--stage-4)"] as const;

const baselines = new Map([
  ["random", "var(--base-1)"],
  ["pixels", "var(--base-2)"],
]);

export function stageColor(index: number): string {
  return stageColors[index % stageColors.length]!;
}

/** Whether an encoder was not trained: shown in grey, and not as a step of the headline. */
export function isBaseline(encoder: string): boolean {
  return baselines.has(encoder);
}

/** Colours of encoders: baselines in greys, the others as the stages, in order. */
export function encoderColors(encoders: readonly string[]): ReadonlyMap<string, string> {
  const trained = encoders.filter((name) => !baselines.has(name));
  return new Map(encoders.map((name) => [name, baselines.get(name) ?? stageColor(trained.indexOf(name))]));
}
