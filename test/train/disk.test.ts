import { readdirSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, expect, it } from "vitest";
import { pretrain } from "../../src/train/pretrain.ts";
import { diskFull, sabotaged } from "./sabotage.ts";
import { finalHashes, temporary, tiny } from "./tiny.ts";

const straight = join(temporary(), "run");
beforeAll(() => pretrain({ recipe: tiny(), out: straight }));

it.each([
  ["metrics.jsonl", 8],
  ["events.out.tfevents", 8],
  ["1-mim-00000008", 2],
  ["2-cl-00000012.final", 1],
])("a disk that is full for %s is said with its name, and the run goes on when there is room", async (name, n) => {
  const out = join(temporary(), "run");
  const full = sabotaged(diskFull(name, n), () => pretrain({ recipe: tiny(), out }));
  await expect(full).rejects.toThrow(
    new RegExp(`^${out}/\\S*${name}\\S* could not be written \\(the disk is full: make room and try again\\)`),
  );
  const left = readdirSync(out, { recursive: true, encoding: "utf8" });
  expect(left.filter((each) => each.endsWith(".tmp") || each === "lock.json")).toEqual([]);
  expect((await pretrain({ out, resume: true })).finished).toBe(true);
  expect(finalHashes(out)).toEqual(finalHashes(straight));
});
