import { afterEach, describe, expect, it, vi } from "vitest";
import { type Adapter, findAdapter, firstLine, isSoftware, onVulkan, tryDevice } from "../../src/backend/adapter.ts";
import { adapter } from "./adapter.ts";

const hasAdapter = await adapter();

afterEach(() => {
  vi.unstubAllEnvs();
});

// as the Vulkan loader 1.3.239 logs with VK_LOADER_DEBUG=all
const searched = `
LAYER:            Searching for layer manifest files
DRIVER:           Searching for driver manifest files
`;
const swiftShader = `${searched}
INFO | DRIVER:    linux_read_sorted_physical_devices:
INFO | DRIVER:         Original order:
INFO | DRIVER:               [0] SwiftShader Device (Subzero)
INFO | DRIVER:         Sorted order:
INFO | DRIVER:               [0] SwiftShader Device (Subzero)  
DRIVER | LAYER:          Using "SwiftShader Device (Subzero)" with driver: "/usr/lib/chromium/./libvk_swiftshader.so"
`;
const two = `${searched}
INFO | DRIVER:               [0] llvmpipe (LLVM 15.0.6, 256 bits)
INFO | DRIVER:               [1] NVIDIA GeForce RTX 3060
DRIVER | LAYER:          Using "NVIDIA GeForce RTX 3060" with driver: "libGLX_nvidia.so.0"
`;
const listed = `${searched}\nINFO | DRIVER:               [0] NVIDIA GeForce RTX 3060\n`;
const none = `${searched}\nERROR | DRIVER:   vkCreateInstance: Found no drivers!\n`;
const noAdapter =
  "/onnxruntime_src/onnxruntime/core/providers/webgpu/webgpu_context.cc:136 onnxruntime::webgpu::WebGpuContext::Initialize" +
  "(const onnxruntime::webgpu::WebGpuContextConfig&)::<lambda()> adapter_result.status == wgpu::RequestAdapterStatus::Success " +
  "was false. Failed to get a WebGPU adapter: No supported adapters\n";

describe("what the Vulkan loader says", () => {
  it.each<[string, string, Adapter]>([
    ["a software adapter", swiftShader, { name: "SwiftShader Device (Subzero)", isSoftware: true }],
    ["the device that is opened, of several", two, { name: "NVIDIA GeForce RTX 3060", isSoftware: false }],
    ["the first device, where none is named", listed, { name: "NVIDIA GeForce RTX 3060", isSoftware: false }],
  ])("is %s", (_, log, expected) => {
    expect(onVulkan({ failure: null, log })).toEqual(expected);
  });

  it.each([
    ["/usr/lib/chromium/vk_swiftshader_icd.json", true],
    ["/usr/share/vulkan/icd.d/lvp_icd.x86_64.json", true],
    ["/etc/vulkan/icd.d/nvidia_icd.json", false],
    ["/a/lvp_icd.x86_64.json:/b/radeon_icd.x86_64.json", false],
  ])("is nothing: the driver's file %s decides", (files, expected) => {
    vi.stubEnv("VK_DRIVER_FILES", files);
    expect(onVulkan({ failure: null, log: "" })).toEqual({ isSoftware: expected });
  });

  it.each([
    ["no library", "", /libvulkan\.so\.1 was not found: apt install libvulkan1/],
    ["no driver", none, /none works here: apt install libvulkan1 mesa-vulkan-drivers, or NVIDIA's driver/],
    ["a device that is refused", listed, /cannot use what Vulkan has here, NVIDIA GeForce RTX 3060 \(Failed to get a/],
  ])("is %s", (_, log, expected) => {
    vi.stubEnv("VK_DRIVER_FILES", "");
    vi.stubEnv("VK_ICD_FILENAMES", "");
    expect(onVulkan({ failure: noAdapter, log })).toEqual({ reason: expect.stringMatching(expected) as string });
  });

  it("is no driver, since a variable names a file that is not there", () => {
    vi.stubEnv("VK_DRIVER_FILES", "/nowhere/icd.json");
    const found = onVulkan({ failure: noAdapter, log: none });
    expect(found).toEqual({ reason: expect.stringMatching(/VK_DRIVER_FILES names \/nowhere\/icd\.json/) as string });
  });
});

it.each([
  ["SwiftShader Device (LLVM 10.0.0)", true],
  ["llvmpipe (LLVM 15.0.6, 256 bits)", true],
  ["Microsoft Basic Render Driver", true],
  ["AMD Radeon Graphics (RADV RENOIR)", false],
  ["Intel(R) UHD Graphics 620 (KBL GT2)", false],
])("%s is software: %s", (name, expected) => {
  expect(isSoftware(name)).toBe(expected);
});

it("keeps of a message what it says", () => {
  expect(firstLine(noAdapter)).toBe("Failed to get a WebGPU adapter: No supported adapters");
  expect(firstLine("a device.\nand where")).toBe("a device");
});

it("tries a device in a process of its own", async () => {
  expect(await tryDevice("cpu")).toMatchObject({ failure: null });
  expect((await tryDevice("abacus" as "cpu")).failure).toMatch(/abacus/);
});

describe("the adapter of this machine", () => {
  it.skipIf(process.platform !== "linux")("is none without a driver", async () => {
    vi.stubEnv("VK_DRIVER_FILES", "/nowhere/icd.json");
    vi.stubEnv("VK_ICD_FILENAMES", "/nowhere/icd.json");
    const found = await findAdapter();
    expect(found).toEqual({ reason: expect.stringMatching(/^[A-Z][^\n]+$/) as string });
  });

  it.skipIf(!hasAdapter || process.platform !== "linux")("has a name", async () => {
    const found = await findAdapter();
    expect(found).toMatchObject({ name: expect.any(String) as string });
    if (process.env["VK_DRIVER_FILES"]?.includes("swiftshader") === true)
      expect(found).toMatchObject({ isSoftware: true });
  });
});
