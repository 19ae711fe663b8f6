/** The built-in protocols. To add one: its file, and a word in this list. */
import type * as z from "zod";
import type { Protocol } from "../protocol.ts";
import { fewShot } from "./few-shot.ts";
import { fineTune } from "./fine-tune.ts";
import { knn } from "./knn.ts";
import { leaveOneOut } from "./leave-one-out.ts";
import { linear } from "./linear.ts";
import { linearSweep } from "./linear-sweep.ts";
import { retrieval } from "./retrieval.ts";

export const protocols = [
  knn,
  leaveOneOut,
  linear,
  fewShot,
  retrieval,
  linearSweep,
  fineTune,
] as const satisfies readonly Protocol[];

type BuiltIn = (typeof protocols)[number];
export type ProtocolName = BuiltIn["name"];
/** Settings of the protocols, by their names. */
export type ProtocolSettings = { [P in BuiltIn as P["name"]]?: z.input<P["settings"]> };

export const protocolNames: readonly ProtocolName[] = protocols.map(({ name }) => name);
/** What is asked when nobody says what: all but what takes minutes. */
export const usual: readonly ProtocolName[] = protocols.filter(({ usual }) => usual).map(({ name }) => name);
