/** The page around the sections. */
import { Html, html } from "./html.ts";
import { style } from "./style.ts";

/**
 * A whole HTML document. Its content policy forbids every request, so a report stays readable offline and can tell
 * nobody that it is being read.
 */
export function page(title: string, sections: readonly (Html | undefined)[], footer: string): string {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta
          http-equiv="Content-Security-Policy"
          content="default-src 'none'; img-src data:; style-src 'unsafe-inline'"
        />
        <title>${title}</title>
        <style>
          ${new Html(style)}
        </style>
      </head>
      <body>
        ${sections}
        <footer>${footer}</footer>
      </body>
    </html> `.text;
}
