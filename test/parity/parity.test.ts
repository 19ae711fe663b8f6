import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { decodeSafetensors, type TensorFile } from "../../src/tensor/safetensors.ts";
import { type Tensor, tensor } from "../../src/tensor/tensor.ts";
import { compare, type Comparison } from "./parity.ts";

const folder = "test/fixtures";
const names = readdirSync(folder)
  .filter((name) => name.endsWith(".safetensors"))
  .sort();
const kinds = ["mae", "simmim", "mocov3", "simclr", "vicreg", "graft", "frozen-graft", "reverse-graft", "joint"];
const read = (name: string) => decodeSafetensors(readFileSync(`${folder}/${name}`), name);
const failures = (comparisons: readonly Comparison[]) =>
  comparisons.filter(({ error, tolerance }) => !(error <= tolerance)).map(({ group }) => group);

describe("fixtures", () => {
  it("are of every kind", () => {
    expect(new Set(names.map((name) => read(name).metadata["kind"]))).toEqual(new Set(kinds));
  });
  it.each(names)("%s agrees with PyTorch", async (name) => {
    const { comparisons } = await compare(read(name));
    expect(comparisons.length).toBeGreaterThan(1);
    expect(failures(comparisons)).toEqual([]);
  });
});

describe("a comparison can fail", () => {
  /** The fixture with one tensor changed. */
  const changed = (fixture: TensorFile, name: string, change: (x: number, i: number) => number): TensorFile => {
    const { shape, data } = fixture.tensors.get(name)!;
    const other: Tensor = tensor("float32", shape, (data as Float32Array).map(change));
    return { ...fixture, tensors: new Map([...fixture.tensors, [name, other]]) };
  };
  const firstOf = (kind: string) => names.map(read).find(({ metadata }) => metadata["kind"] === kind)!;

  it.each(kinds.filter((kind) => kind !== "joint"))(
    "%s: when a parameter is off by a tenth of a per cent",
    async (kind) => {
      const fixture = firstOf(kind);
      const name = [...fixture.tensors.keys()].find((each) =>
        /^param\.(base_encoder\.)?blocks\.0\.attn\.qkv\.weight$/.test(each),
      )!;
      const { comparisons } = await compare(changed(fixture, name, (x) => 1.001 * x));
      expect(failures(comparisons).length).toBeGreaterThan(0);
    },
  );
  it.each(["frozen-graft", "reverse-graft"])("%s: when another number of blocks is frozen", async (kind) => {
    const fixture = firstOf(kind);
    const config = JSON.parse(fixture.metadata["config"]!) as { frozenBlocks: number };
    for (const frozenBlocks of [0, 2]) {
      const metadata = { kind, config: JSON.stringify({ ...config, frozenBlocks }) };
      const { comparisons } = await compare({ ...fixture, metadata });
      expect(failures(comparisons)).toContain("param");
    }
  });
  it("joint: when a parameter is off", async () => {
    const fixture = firstOf("joint");
    const name = [...fixture.tensors.keys()].find(
      (each) => each.startsWith("param.mim.") && each.endsWith("0.attn.qkv.weight"),
    )!;
    const { comparisons } = await compare(changed(fixture, name, (x) => 1.01 * x));
    expect(failures(comparisons)).toContain("cosine");
  });
  it("in every group: when what is expected is off by a tenth of a per cent", async () => {
    for (const kind of kinds) {
      let fixture = firstOf(kind);
      for (const name of fixture.tensors.keys())
        if (name.startsWith("expect.")) fixture = changed(fixture, name, (x) => 1.001 * x);
      const { comparisons } = await compare(fixture);
      expect(failures(comparisons), kind).toEqual(comparisons.map(({ group }) => group));
    }
  });
  it("when one element of one gradient is wrong", async () => {
    const { comparisons } = await compare(
      changed(firstOf("mae"), "expect.grad.blocks.0.mlp.fc1.weight", (x, i) => (i === 7 ? x + 0.01 : x)),
    );
    expect(failures(comparisons)).toEqual(["grad"]);
    expect(comparisons.find(({ group }) => group === "grad")!.worst).toBe("grad.blocks.0.mlp.fc1.weight");
  });
  it("when a result is missing", async () => {
    const fixture = firstOf("mae");
    const extra = new Map([...fixture.tensors, ["expect.grad.nothing", tensor("float32", [2])] as const]);
    await expect(compare({ ...fixture, tensors: extra })).rejects.toThrow(
      new Error("grad.nothing: expected 2 numbers, got none"),
    );
  });
});

it("refuses an unknown kind", async () => {
  const fixture = { metadata: { kind: "byol" }, tensors: new Map<string, Tensor>() };
  await expect(compare(fixture)).rejects.toThrow(new Error(`unknown kind byol; known: ${kinds.join(", ")}`));
  await expect(compare({ ...fixture, metadata: {} })).rejects.toThrow(/^unknown kind none/);
});
