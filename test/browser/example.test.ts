/** The page of examples/browser, built and served as its README says, with an encoder that nobody trained. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, chromium, type Page } from "playwright-core";
import { afterAll, beforeAll, beforeEach, expect, it } from "vitest";
import { build, preview, type PreviewServer } from "vite";
import { encodePng } from "../../src/data/formats/png.ts";
import type { Source } from "../../src/data/source.ts";
import { openSource } from "../../src/data/sources/open.ts";
import { subset } from "../../src/data/sources/subset.ts";
import { centerCrop } from "../../src/data/augmentation/views.ts";
import { createEncoder, initialParameters } from "../../src/evaluators/encoder.ts";
import { neighbours } from "../../src/evaluators/neighbours.ts";
import { writeWeights } from "../../src/run/checkpoint.ts";
import { key } from "../../src/tensor/random.ts";
import { prepare } from "../../examples/browser/prepare.ts";
import { findBrowser } from "../../src/cli/browser.ts";

const executablePath = findBrowser();
const model = { imageSize: 32, patchSize: 8, width: 48, depth: 2, heads: 3 };
const view = centerCrop(32);
let folder: string;
let browser: Browser | undefined;
let server: PreviewServer;
let images: Source;
let query: string;

beforeAll(async () => {
  if (executablePath === undefined) return console.warn("skipped: no Chromium, see report.test.ts");
  folder = mkdtempSync(join(tmpdir(), "layergraft-test-"));
  const checkpoint = join(folder, "encoder.safetensors");
  const metadata = { model: JSON.stringify(model), view: JSON.stringify(view), encoder: "" };
  writeWeights(checkpoint, initialParameters(model, key(1)), metadata);
  images = await openSource({ kind: "synthetic", length: 40, size: 48 });
  expect(await prepare(checkpoint, images, join(folder, "public"))).toBe(40);
  query = join(folder, "query.png");
  writeFileSync(query, await encodePng(await images.load(7)));

  const configFile = "examples/browser/page/vite.config.ts";
  const outDir = join(folder, "site");
  const common = { configFile, publicDir: join(folder, "public"), logLevel: "error" } as const;
  await build({ ...common, build: { outDir, emptyOutDir: true } });
  server = await preview({ ...common, build: { outDir } });
  browser = await chromium.launch({ executablePath });
});
afterAll(async () => {
  await browser?.close();
  if (browser === undefined) return;
  await server.close();
  rmSync(folder, { recursive: true });
});
beforeEach(({ skip }) => skip(browser === undefined));

/** As the page shows it: the last part. */
const nameOf = (i: number) => images.id(i).split("/").at(-1)!;

async function open(width = 1000, colorScheme: "light" | "dark" = "light"): Promise<{ page: Page; errors: string[] }> {
  const page = await browser!.newPage({ viewport: { width, height: 900 }, colorScheme });
  const errors: string[] = [];
  page.on("console", (message) => message.type() === "error" && errors.push(message.text()));
  page.on("pageerror", ({ message }) => errors.push(message));
  await page.goto(server.resolvedUrls!.local[0]!);
  await page.locator("body[data-ready]").waitFor({ timeout: 120_000 });
  return { page, errors };
}

it("answers an image with the neighbours that Node finds, and shows where it looks", async () => {
  const { page, errors } = await open();
  await page.locator("#file").setInputFiles(query);
  await page.locator("#neighbours li").first().waitFor();
  const shown = await page.locator("#neighbours .likeness").allTextContents();
  const names = await page.locator("#neighbours .name").allTextContents();

  const encoder = await createEncoder(model, view, initialParameters(model, key(1)), { threads: 1 });
  const all = await encoder.features(images);
  const asked = await encoder.features(subset(images, [7]));
  await encoder.release();
  const { indices, similarities } = await neighbours(asked, all, 12);
  expect(names[0]).toBe(nameOf(7));
  expect(names).toHaveLength(12);
  for (const [i, likeness] of shown.entries()) expect(Number(likeness)).toBeCloseTo(similarities[i]!, 2);
  expect(names.slice(0, 3)).toEqual(Array.from(indices.subarray(0, 3), nameOf));

  const pictureOf = () => page.evaluate<string>("document.querySelector('#seen').toDataURL()");
  const mean = await pictureOf();
  expect(await page.locator("#heads button").allTextContents()).toEqual(["all heads", "1", "2", "3"]);
  await page.locator("#heads button").nth(2).click();
  expect(await pictureOf()).not.toBe(mean);
  expect(await page.locator("#caption").textContent()).toContain("head 2");
  expect(errors).toEqual([]);
  await page.close();
});

it("asks with an image of the gallery, by keyboard", async () => {
  const { page, errors } = await open(400, "dark");
  const first = page.locator("#examples button").first();
  const name = await first.getAttribute("title");
  await first.focus();
  await page.keyboard.press("Enter");
  await page.locator("#neighbours li").first().waitFor();
  expect(await page.locator("#status").textContent()).toContain(name);
  const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
  expect(overflow).toBeLessThanOrEqual(0);
  expect(errors).toEqual([]);
  await page.close();
});

it("says what is wrong with a file that is no image", async () => {
  const { page } = await open();
  const text = join(folder, "notes.txt");
  writeFileSync(text, "not an image");
  await page.locator("#file").setInputFiles(text);
  await page.getByText("notes.txt cannot be shown: this browser cannot read it as an image").waitFor();
  expect(await page.locator("#answer").isHidden()).toBe(true);
  await page.close();
});
