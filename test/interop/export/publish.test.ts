import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";
import { publish } from "../../../src/interop/export/publish.ts";
import { temporaryFolder } from "../../run/temporary.ts";

const file = (text: string) => async (temporary: string) => writeFileSync(temporary, text);
const folder = async (temporary: string) => {
  mkdirSync(temporary);
  writeFileSync(join(temporary, "config.json"), "{}");
};

it("what is made appears under its name, in a folder that may be new", async () => {
  const dir = temporaryFolder();
  await publish(join(dir, "new", "a.onnx"), false, file("a"));
  expect(readFileSync(join(dir, "new", "a.onnx"), "utf8")).toBe("a");
  await publish(join(dir, "b"), false, folder);
  expect(readdirSync(join(dir, "b"))).toEqual(["config.json"]);
});

it("what fails leaves nothing, and what was there as it was", async () => {
  const dir = temporaryFolder();
  const path = join(dir, "a.onnx");
  writeFileSync(path, "before");
  const failing = async (temporary: string) => {
    writeFileSync(temporary, "half");
    throw new Error("it disagrees");
  };
  await expect(publish(path, true, failing)).rejects.toThrow("it disagrees");
  expect([readdirSync(dir), readFileSync(path, "utf8")]).toEqual([["a.onnx"], "before"]);
});

it("nothing is replaced unless that is asked for, and no folder that is not an export", async () => {
  const dir = temporaryFolder();
  const [path, exported, other] = ["a.onnx", "exported", "photos"].map((name) => join(dir, name)) as [
    string,
    string,
    string,
  ];
  await publish(path, false, file("one"));
  await expect(publish(path, false, file("two"))).rejects.toThrow(
    `${path} exists already; choose another --out, or replace it with --force`,
  );
  await publish(path, true, file("two"));
  expect(readFileSync(path, "utf8")).toBe("two");

  await publish(exported, false, folder);
  await publish(exported, true, folder);
  mkdirSync(other);
  writeFileSync(join(other, "holiday.jpg"), "");
  await expect(publish(other, true, folder)).rejects.toThrow("is no export (it holds holiday.jpg) and is not replaced");
  expect(existsSync(join(other, "holiday.jpg"))).toBe(true);
  expect(readdirSync(dir).sort()).toEqual(["a.onnx", "exported", "photos"]);
});
