/** Which values of images are black and white, where they have more than 8 bits: said once, and kept with what learnt from them. */
import type { SampleRange } from "../formats/decode.ts";
import { hasOption, type SourceInput } from "./open.ts";

/** The range of a source that has one. */
export function rangeOf(input: SourceInput): SampleRange | undefined {
  return "range" in input ? input.range : undefined;
}

/** The source with the range, if it takes one and says none itself. */
export function inRange(input: SourceInput, range: SampleRange | undefined): SourceInput {
  if (range === undefined || rangeOf(input) !== undefined || !hasOption(input, "range")) return input;
  return { ...input, range: [...range] } as SourceInput;
}
