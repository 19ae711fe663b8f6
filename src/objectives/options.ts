/** Numbers that several kinds of objectives have among their options. */
import * as z from "zod";

export const positive = z.int().min(1);
export const share = z.number().min(0).max(1);
