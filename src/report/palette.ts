/** One colour for one thing on the whole page: a stage, and the encoder it made. */

/** Colours of stages in the order of training. All are strong enough for text on the page. */
export const stageColors = Array.from({ length: 8 }, (_, i) => `var(--stage-${i + 1})`);

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

/** Colours of encoders, and of the stages they come from: baselines in greys, the others in order. Names may repeat. */
export function encoderColors(encoders: readonly string[]): ReadonlyMap<string, string> {
  const trained = [...new Set(encoders)].filter((name) => !baselines.has(name));
  return new Map(encoders.map((name) => [name, baselines.get(name) ?? stageColor(trained.indexOf(name))]));
}
