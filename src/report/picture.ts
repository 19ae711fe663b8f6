/** Pictures of samples/ as data URIs: a report is one file. */
import { existsSync, readFileSync } from "node:fs";
import { extname, join, relative, resolve } from "node:path";
import { type Html, html } from "./html.ts";

const types: Readonly<Record<string, string>> = {
  ".png": "image/png",
  ".jpg": "image/jpeg",
  ".jpeg": "image/jpeg",
  ".webp": "image/webp",
};

/** An img element; `title` is its tooltip and its text. Throws as `dataUri` does. */
export function picture(dir: string, name: string, title: string, className = ""): Html {
  return html`<img class="${className}" alt="${title}" title="${title}" src="${dataUri(dir, name)}" />`;
}

/** A picture of samples/ as a URI that holds it, safe in attributes and style sheets. Throws when `name` is not one. */
export function dataUri(dir: string, name: string): string {
  const folder = join(dir, "samples");
  const path = resolve(folder, name);
  const type = types[extname(name).toLowerCase()];
  // A run folder may come from somebody else: its JSON must not pull other files of this machine into the page.
  if (type === undefined || relative(folder, path).startsWith(".."))
    throw new Error(`${folder} names the picture "${name}", which is not a PNG, JPEG or WebP file inside that folder`);
  if (!existsSync(path)) throw new Error(`${path} is missing, but the JSON beside it names it; sample the run again`);
  return `data:${type};base64,${readFileSync(path).toString("base64")}`;
}
