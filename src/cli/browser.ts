/** A Chromium or Chrome of this machine: what the tests of pages open. */
import { existsSync } from "node:fs";

const usual = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/usr/bin/google-chrome-stable",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
  "/Applications/Chromium.app/Contents/MacOS/Chromium",
  "C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe",
];

/** The browser's path: the variable LAYERGRAFT_BROWSER, which must then hold, or a usual place. */
export function findBrowser(): string | undefined {
  const wanted = process.env["LAYERGRAFT_BROWSER"];
  if (wanted !== undefined && !existsSync(wanted))
    throw new Error(`LAYERGRAFT_BROWSER is ${wanted}, where no file is; set it to the path of a Chromium or Chrome`);
  return wanted ?? usual.find((path) => existsSync(path));
}
