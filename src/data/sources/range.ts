/** Which values of images are black and white, where they have more than 8 bits: said once, and kept with what learnt from them. */
import type { SampleRange } from "../formats/decode.ts";
import { kinds } from "./kinds.ts";
import type { SourceInput } from "./open.ts";

/** The range of a source that has one. */
export function rangeOf(input: SourceInput): SampleRange | undefined {
  return "range" in input ? input.range : undefined;
}

/** The source with the range, if it takes one and says none itself. */
export function inRange(input: SourceInput, range: SampleRange | undefined): SourceInput {
  const { shape } = kinds.find(({ schema }) => schema.shape.kind.value === input.kind)!.schema;
  if (range === undefined || rangeOf(input) !== undefined || !Object.hasOwn(shape, "range")) return input;
  return { ...input, range: [...range] } as SourceInput;
}
