import { existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { describeChoice } from "../../src/cli/device.ts";
import type { Finding } from "../../src/cli/doctor.ts";
import { adapter } from "../backend/adapter.ts";
import { temporaryFolder } from "../run/temporary.ts";
import { layergraft, tiny, writeImages } from "./layergraft.ts";

const hasAdapter = await adapter();

afterEach(() => {
  vi.unstubAllEnvs();
});

/** As on a machine without a GPU, for the processes that are started. */
function withoutAdapter() {
  vi.stubEnv("VK_DRIVER_FILES", "/nowhere/icd.json");
  vi.stubEnv("VK_ICD_FILENAMES", "/nowhere/icd.json");
}

describe("--device", () => {
  it.skipIf(process.platform !== "linux")(
    "says in one sentence what is missing, and auto goes on without",
    async () => {
      withoutAdapter();
      const dir = temporaryFolder();
      await writeImages(join(dir, "shapes"), 40, "flat");
      const refused = await layergraft(["pretrain", "shapes", ...tiny, "--device", "webgpu"], { cwd: dir });
      expect(refused.code).toBe(1);
      expect(refused.stderr).toMatch(
        /^layergraft: the device webgpu cannot be used here, but cpu can: WebGPU [^\n]*VK_DRIVER_FILES names \/nowhere[^\n]*$/m,
      );
      expect(existsSync(join(dir, "runs", "shapes", "recipe.json"))).toBe(false);
      const dry = await layergraft(["pretrain", "shapes", ...tiny, "--device", "auto", "--dry-run"], { cwd: dir });
      expect([dry.code, dry.stderr]).toEqual([0, ""]);
      expect(dry.stdout).toMatch(/^device cpu: WebGPU needs a Vulkan driver/m);
      expect(dry.stdout).not.toContain('"device"');
    },
  );

  it.skipIf(!hasAdapter)(
    "webgpu trains and measures, and the run can be used elsewhere",
    { timeout: 300_000 },
    async () => {
      const dir = temporaryFolder();
      await writeImages(join(dir, "shapes"), 40, "classes");
      const trained = await layergraft(["pretrain", "shapes", ...tiny, "--device", "webgpu"], { cwd: dir });
      expect(trained.stderr).not.toContain("layergraft:");
      expect(trained.code).toBe(0);
      expect(trained.stdout).toMatch(/accuracy, % +random encoder +raw pixels +after MIM +after grafting +chance/);
      const files = ["cpu", "webgpu"].map((device) =>
        layergraft(["embed", "runs/shapes", "shapes", "--out", `${device}.npy`, "--device", device], { cwd: dir }),
      );
      for (const { code } of await Promise.all(files)) expect(code).toBe(0);
      const exported = await layergraft(["export", "runs/shapes", "--to", "onnx", "--device", "webgpu"], { cwd: dir });
      expect(exported.stdout).toMatch(/checked: the relative error of its outputs is at most \d\.\d*e-[78]/);
    },
  );

  it("refuses a name that it does not know", async () => {
    const { code, stderr } = await layergraft(["evaluate", "runs/x", "--device", "gpu"]);
    expect(code).toBe(2);
    expect(stderr).toContain("Allowed choices are cpu, webgpu, cuda.");
  });
});

it.each([
  [{ device: "cpu", adapter: { reason: "there is no driver" }, seconds: {} }, "device cpu: there is no driver"],
  [
    { device: "cpu", adapter: { name: "llvmpipe", isSoftware: true }, seconds: {} },
    "device cpu: of WebGPU there is only llvmpipe here, which is no known GPU",
  ],
  [
    { device: "webgpu", adapter: { name: "RTX 3060", isSoftware: false }, seconds: { cpu: 7500, webgpu: 600 } },
    "device webgpu, the faster one for this run: cpu about 2h 05m, webgpu about 10m 00s (webgpu is RTX 3060)",
  ],
  [
    { device: "cpu", adapter: { name: "RTX 3060", isSoftware: false }, seconds: { cpu: 7500 }, failure: "no memory" },
    "device cpu: steps on RTX 3060 fail (no memory)",
  ],
] as const)("tells a choice in one line: %o", (choice, expected) => {
  expect(describeChoice(choice)).toBe(expected);
});

describe("doctor", () => {
  const findings = async () => {
    const { code, stdout, stderr } = await layergraft(["doctor", "--json"]);
    expect(stderr).toBe("");
    const { findings } = JSON.parse(stdout) as { findings: Finding[] };
    return { code, of: (name: string) => findings.find((each) => each.name === name)! };
  };

  it.skipIf(process.platform !== "linux")("says what is there and what to do about the rest", async () => {
    withoutAdapter();
    const { code, of } = await findings();
    expect(code).toBe(0);
    expect(of("Node")).toEqual({
      name: "Node",
      state: "ok",
      found: `${process.versions.node} on ${process.platform} ${process.arch}`,
    });
    expect(of("memory").found).toMatch(/^\d+\.\d GiB usable$/);
    expect(of("WebGPU")).toMatchObject({
      state: "missing",
      found: expect.stringContaining("VK_DRIVER_FILES") as string,
    });
    expect(of("cache").state).toBe("ok");
    expect(of("emoji").found).toContain("twemoji 1.");
  });

  it.skipIf(!hasAdapter || process.platform !== "linux")("names the adapter", async () => {
    const { code, of } = await findings();
    expect([code, of("WebGPU").state]).toEqual([0, "ok"]);
    expect(of("WebGPU").found).toContain("--device webgpu");
  });

  it("fails where something is broken", async () => {
    vi.stubEnv("LAYERGRAFT_BROWSER", "/nowhere/chromium");
    vi.stubEnv("LAYERGRAFT_MPI", "/nowhere/libmpi.so");
    const { code, stdout } = await layergraft(["doctor"]);
    expect(code).toBe(1);
    expect(stdout).toMatch(/^!! +browser +LAYERGRAFT_BROWSER is \/nowhere\/chromium, where no file is/m);
    expect(stdout).toMatch(/^!! +MPI +LAYERGRAFT_MPI=\/nowhere\/libmpi\.so is no MPI library/m);
    expect(stdout).toMatch(/^ok +processors +\d+/m);
  });
});
