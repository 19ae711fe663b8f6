import { expect, it } from "vitest";
import { styles } from "../../src/data/sources/emoji/installed.ts";
import { demo } from "../../src/methods/demo.ts";
import { defineRecipe } from "../../src/recipe/recipe.ts";

it.each(["quick", "standard", "full"] as const)("the %s demo can be run and holds things back", (size) => {
  const { data, seed, stages } = defineRecipe(demo(size, 3));
  expect(seed).toBe(3);
  expect(data).toMatchObject({ kind: "emoji", split: "train" });
  if (data.kind === "emoji") expect(data.styles.length).toBeLessThan(styles.length);
  expect(stages.map(({ name }) => name)).toEqual(["mim", "cl"]);
});

it("more time means more epochs", () => {
  const epochs = (["quick", "standard", "full"] as const).map((size) =>
    demo(size, 0).stages.reduce((sum, stage) => sum + stage.epochs, 0),
  );
  expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
});
