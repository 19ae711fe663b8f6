/** All that can be asked about a data set, by every protocol: the rows of the result table. */
import type * as z from "zod";
import type { Source } from "../data/source.ts";
import type { SourceInput } from "../data/sources/open.ts";
import type { EvaluatorOptions } from "../evaluators/evaluator.ts";
import type { Asked, Metric, Protocol, Task } from "./protocol.ts";
import { protocols as builtIn, type ProtocolSettings } from "./protocols/index.ts";
import { type QuestionOptions, questionsOf } from "./questions.ts";

/** A task, and what is said of it beside its score. */
export interface ListedTask extends Task {
  /** Its name. */
  readonly protocol: string;
  readonly metric: Metric;
}

export interface TaskList {
  readonly source: Source;
  readonly tasks: readonly ListedTask[];
  /** Why there are no tasks, when there are none. */
  readonly reason?: string;
  /** See Questions. */
  readonly notes?: readonly string[];
  /** Images to show in pictures: nobody trained on them where the data set allows it. */
  readonly shown: Source;
}

export interface TaskOptions extends QuestionOptions, EvaluatorOptions {
  readonly settings?: ProtocolSettings;
}

/**
 * Every task of every built-in protocol for a source, and of those that are `beside` them; none when it has no classes.
 * Common questions come first, asked by the usual protocols before the others, then what is for one protocol alone. Throws
 * one sentence for a setting that is wrong.
 */
export async function tasksOf(
  input: SourceInput,
  options: TaskOptions = {},
  beside: readonly Protocol[] = [],
): Promise<TaskList> {
  const { seed = 0, limit, device, threads } = options;
  const checked = checkSettings([...builtIn, ...beside], options.settings);
  const usualFirst = checked.toSorted(([a], [b]) => Number(b.usual) - Number(a.usual));
  const { questions, pairings, ...rest } = await questionsOf(input, options);
  const list = (asked: (name: string) => Omit<Asked, "source">) =>
    usualFirst.flatMap(([protocol, settings]) => {
      const { name, metric } = protocol;
      const tasks = protocol.tasks({ source: rest.source, ...asked(name) }, settings, { seed, limit, device, threads });
      return tasks.map((task): ListedTask => ({ ...task, protocol: name, metric }));
    });
  const only = (name?: string) => questions.filter((question) => question.only === name);
  const tasks = [
    ...list(() => ({ questions: only(), pairings: [] })),
    ...list((name) => ({ questions: only(name), pairings })),
  ];
  return { ...rest, tasks };
}

type Settings = z.output<Protocol["settings"]>;

/** Each protocol with its settings, checked. */
function checkSettings(
  protocols: readonly Protocol[],
  given: ProtocolSettings = {},
): (readonly [Protocol, Settings])[] {
  const settings: Readonly<Record<string, unknown>> = given;
  const names = protocols.map(({ name }) => name);
  const twice = names.find((name, i) => names.indexOf(name) !== i);
  if (twice !== undefined) throw new Error(`there are two protocols called ${twice}; give one another name`);
  const stranger = Object.keys(settings).find((name) => !names.includes(name));
  if (stranger !== undefined)
    throw new Error(`there is no protocol ${stranger} to set options of; available: ${names.join(", ")}`);
  return protocols.map((protocol) => {
    const { name, settings: schema } = protocol;
    const result = schema.safeParse(settings[name] ?? {});
    if (result.success) return [protocol, result.data];
    const [issue] = result.error.issues as [z.core.$ZodIssue];
    const problem =
      issue.code === "unrecognized_keys"
        ? `has no option ${issue.keys.join(", ")}; it has: ${Object.keys(schema.shape).join(", ") || "none"}`
        : `cannot be run: ${issue.path.join(".")}: ${issue.message}`;
    throw new Error(`the protocol ${name} ${problem}`);
  });
}
