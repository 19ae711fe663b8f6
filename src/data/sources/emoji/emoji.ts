/** The default data: five styles of openly licensed emoji drawings. */
import type { DirectKind } from "../kind.ts";
import { emojiQuestions } from "./questions.ts";
import { emojiSpec, openEmoji } from "./source.ts";

export const emoji: DirectKind<typeof emojiSpec> = {
  schema: emojiSpec,
  argument: {
    help: "the word emoji",
    recognise: ({ text }) => (text === "emoji" ? { clue: "word", spec: { kind: "emoji", split: "train" } } : undefined),
  },
  splits: { all: (spec) => ({ ...spec, split: "all" }) },
  imageSize: ({ size }) => size,
  questions: emojiQuestions,
  // In their nine groups: a hundred subgroups are too many colours.
  analysed: (spec) => ({ ...spec, split: "test", label: "group" }),
  open: openEmoji,
};
