import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Browser, chromium, type Page } from "playwright-core";
import sharp from "sharp";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { writeReport } from "../../src/report/report.ts";
import { fillRun } from "../report/full.ts";
import { findBrowser } from "../../src/cli/browser.ts";

/** What inspect.js finds in a page. */
interface Findings {
  readonly texts: number;
  readonly overflow: number;
  readonly nameless: number;
  readonly faint: readonly string[];
  readonly overlaps: readonly string[];
  readonly outside: readonly string[];
}

const executablePath = findBrowser();
const inspect = readFileSync("test/browser/inspect.js", "utf8");
let folder: string;
let address: string;
let browser: Browser | undefined;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "layergraft-test-"));
  const dir = join(folder, "run");
  fillRun(dir);
  address = pathToFileURL(writeReport(dir)).href;
  if (executablePath !== undefined) browser = await chromium.launch({ executablePath });
  else console.warn("skipped: there is no Chromium or Chrome; install one or set LAYERGRAFT_BROWSER to its path");
});
afterAll(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true });
});
beforeEach(({ skip }) => skip(browser === undefined));

/** Opens the report and tells what the browser complained of and asked for besides. */
async function open(colorScheme: "light" | "dark", width: number): Promise<{ page: Page; incidents: string[] }> {
  const page = await browser!.newPage({ colorScheme, viewport: { width, height: 900 } });
  const incidents: string[] = [];
  page.on("console", (message) => incidents.push(message.text()));
  page.on("pageerror", ({ message }) => incidents.push(message));
  page.on("request", (request) => {
    if (request.url() !== address && !request.url().startsWith("data:")) incidents.push(request.url());
  });
  await page.goto(address);
  return { page, incidents };
}

describe.each(["light", "dark"] as const)("the report in %s colours", (scheme) => {
  it.each([1200, 400])("can be read at %i pixels and asks nobody for anything", async (width) => {
    const { page, incidents } = await open(scheme, width);
    const { texts, ...found } = await page.evaluate<Findings>(inspect);
    expect(texts).toBeGreaterThan(300);
    expect(found).toEqual({ overflow: 0, nameless: 0, faint: [], overlaps: [], outside: [] });
    expect(incidents).toEqual([]);
    await page.close();
  });
});

describe.each([1200, 400])("the map of features at %i pixels", (width) => {
  /** Red pixels of what is shown: the pictures are red. */
  const redness = async (page: Page) => {
    const { data } = await sharp(await page.screenshot())
      .removeAlpha()
      .raw()
      .toBuffer({ resolveWithObject: true });
    let count = 0;
    for (let i = 0; i < data.length; i += 3) if (data[i] === 255 && data[i + 1] === 0 && data[i + 2] === 0) count++;
    return count;
  };

  it("shows the picture of the dot that is pointed at, and the keyboard's", async () => {
    const { page } = await open("light", width);
    const map = page.getByRole("radiogroup").first();
    await map.scrollIntoViewIfNeeded();
    const before = await redness(page);
    const dots = map.getByRole("radio");
    for (const dot of [dots.first(), dots.nth(40), dots.last()]) {
      await dot.hover({ force: true });
      expect((await redness(page)) - before).toBeGreaterThan(0.95 * 112 ** 2);
    }
    expect(await page.evaluate("document.documentElement.scrollWidth")).toBe(width);
    await page.mouse.move(0, 0);
    expect(await redness(page)).toBe(before);
    await dots.first().focus();
    await page.keyboard.press("ArrowDown");
    expect((await redness(page)) - before).toBeGreaterThan(0.95 * 112 ** 2);
    await page.close();
  });

  it("marks the image in the other maps, and a group's dots alone", async () => {
    const { page } = await open("light", width);
    const marked =
      "[...document.querySelectorAll('.map input')].filter((dot) => getComputedStyle(dot).outlineStyle === 'solid').length";
    const faded =
      "[...document.querySelectorAll('.map input')].filter((dot) => getComputedStyle(dot).opacity < 0.5).length";
    await page.getByRole("radio").first().hover({ force: true });
    expect(await page.evaluate(marked)).toBe(3);
    expect(await page.evaluate(faded)).toBe(0);
    const group = page.locator("#map li").first();
    await group.hover();
    const dots = await page.getByRole("radio").count();
    const own = await page.getByRole("radio", { name: `(${await group.innerText()})` }).count();
    expect(own).toBeGreaterThan(0);
    expect(await page.evaluate(faded)).toBe(dots - own);
    await page.close();
  });
});
