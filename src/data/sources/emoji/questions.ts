/** What emoji let one ask beside the class of a drawing: styles nobody trained on, and one concept in two styles. */
import type * as z from "zod";
import type { Question, Questions } from "../../question.ts";
import type { Split } from "../../source.ts";
import { subset } from "../subset.ts";
import { styles } from "./installed.ts";
import { type emojiSpec, openEmoji } from "./source.ts";

/** Concepts are split, so that every test drawing is of a concept nobody trained on. */
export async function emojiQuestions(spec: z.infer<typeof emojiSpec>): Promise<Questions> {
  const whole = await openEmoji({ ...spec, split: "all", styles: [...styles], label: "subgroup" });
  const isSeen = (style: string) => spec.styles.some((each) => each === style);
  const used = whole.drawings.flatMap(({ style }, i) => (isSeen(style) || whole.split!(i) === "test" ? [i] : []));
  const source = subset(whole, used);
  const drawings = used.map((i) => whole.drawings[i]!);

  const where = (wanted: Split, ofStyle: (style: string) => boolean) =>
    drawings.flatMap(({ style }, i) => (source.split!(i) === wanted && ofStyle(style) ? [i] : []));
  const [train, validation, test] = (["train", "validation", "test"] as const).map((split) => where(split, isSeen)) as [
    number[],
    number[],
    number[],
  ];
  const question = (by: "subgroup" | "group"): Question => {
    const classes = by === "group" ? whole.groups : whole.subgroups;
    const labels = Int32Array.from(drawings, (drawing) => drawing[by]);
    return { what: `${classes.length} ${by}s`, classes, labels, rows: { train, validation, test } };
  };
  const questions = [question("subgroup"), question("group")];
  const unseen = styles.filter((style) => !isSeen(style));
  if (unseen.length > 0) {
    const [first] = questions as [Question];
    const rows = { train, validation, test: where("test", (style) => !isSeen(style)) };
    questions.push({ ...first, what: `${first.what}, a style never seen (${unseen.join(", ")})`, rows, only: "knn" });
  }
  const identities = Int32Array.from(drawings, ({ concept }) => concept);
  const pairings = [["noto", "twemoji"] as const, ["openmoji", "twemoji"] as const]
    .filter((pair) => pair.every(isSeen))
    .map(([from, to]) => ({
      what: `same concept in another style, ${from} → ${to}`,
      identities,
      queries: where("test", (style) => style === from),
      gallery: where("test", (style) => style === to),
    }));
  return { source, questions, pairings, shown: subset(source, test) };
}
