import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { type ListedTask, tasksOf } from "../../../src/measure/tasks.ts";
import { temporaryFolder } from "../../run/temporary.ts";
import { folderOf, perfect } from "../folder.ts";

it("takes the labels from a split file, whose images may be unreadable or missing", async () => {
  const path = await folderOf({ a: 20, b: 20 });
  const { tasks: all, source } = await tasksOf({ kind: "folder", path });
  const { train } = all[0]!.question!.rows;
  const names = train.map((row) => source.id(row)).filter((id) => /\/1?[0-7]\.png$/.test(id));
  const file = join(temporaryFolder(), "few.txt");
  writeFileSync(file, names.map((name) => `train/${name} ${name[0] === "a" ? 7 : 3}\r\n`).join(""));
  const settings = { "few-shot": { shots: [file] } };
  const [task] = (await tasksOf({ kind: "folder", path }, { settings })).tasks.filter(
    ({ protocol }) => protocol === "few-shot",
  ) as [ListedTask];
  expect(task.label).toBe("labels of few.txt, 2 classes");
  const score = await task.run({ features: () => perfect(path) });
  expect(score).toMatchObject({ value: 1, labels: names.length / 2 });
  expect(score.deviation).toBeUndefined();

  // Rows are counted in what is left when an image cannot be read.
  const unlisted = train.find((row) => !names.includes(source.id(row)))!;
  const reason = { index: unlisted, id: source.id(unlisted), reason: "broken" };
  expect((await task.run({ features: () => perfect(path, [reason]) })).value).toBe(1);
  const listed = train.find((row) => names.includes(source.id(row)))!;
  const bad = { index: listed, id: source.id(listed), reason: "broken" };
  const less = await task.run({ features: () => perfect(path, [bad]) });
  expect(less.labels).toBe((names.length - 1) / 2);
  const strange = join(temporaryFolder(), "strange.txt");
  writeFileSync(strange, `${readFileSync(file, "utf8")}a/999.png 7\n`);
  const [lost] = (
    await tasksOf({ kind: "folder", path }, { settings: { "few-shot": { shots: [strange] } } })
  ).tasks.filter(({ protocol }) => protocol === "few-shot");
  await expect(lost!.run({ features: () => perfect(path) })).rejects.toThrow(
    /^1 of the \d+ images that .*strange\.txt lists are not among the 28 training images \(those of validation and test do not count\); the first: a\/999\.png$/,
  );
});
