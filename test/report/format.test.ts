import { expect, test } from "vitest";
import {
  compact,
  count,
  duration,
  humanize,
  imagesName,
  metricNumber,
  metricTitle,
  metricValue,
  percent,
  scientific,
} from "../../src/report/format.ts";
import { escape, html } from "../../src/report/html.ts";

test.each([
  [percent(0.3514), "35.1\u202f%"],
  [metricValue({ share: true }, 1), "100.0\u202f%"],
  [metricValue({ share: false }, 1.2345), "1.23"],
  [metricNumber({}, 0.3514), "35.1"],
  [metricNumber({ share: false }, 1.2345), "1.23"],
  [metricTitle({ metric: "accuracy" }), "accuracy, %"],
  [metricTitle({ metric: "loss", share: false, better: "lower" }), "loss (lower is better)"],
  [compact(0), "0"],
  [compact(1234.5), "1,230"],
  [compact(0.01234), "0.0123"],
  [compact(-1.5e-7), "-1.5·10⁻⁷"],
  [scientific(1e-3), "10⁻³"],
  [scientific(2e10), "2·10¹⁰"],
  [duration(48.4), "48\u202fs"],
  [duration(720), "12\u202fmin"],
  [duration(12_000), "3\u202fh 20\u202fmin"],
  [duration(7200), "2\u202fh"],
  [duration(187_200), "2\u202fd 4\u202fh"],
  [count(1, "image"), "1 image"],
  [count(1200, "image"), "1,200 images"],
  [humanize("gradientNorm"), "gradient norm"],
  [humanize("knn_accuracy"), "knn accuracy"],
])("%s is written as %s", (shown, expected) => {
  expect(shown).toBe(expected);
});

test("templates escape strings, join lists, and keep what is already safe", () => {
  expect(escape(`<a href="x">'&`)).toBe("&#60;a href=&#34;x&#34;&#62;&#39;&#38;");
  expect(html`<p>${["<", html`<b>${"&"}</b>`, 1]}${false}${undefined}</p>`.text).toBe("<p>&#60;<b>&#38;</b>1</p>");
});

test("images are called by the last part of their path", () => {
  expect(["/home/me/photos/", "C:\\photos", "emoji", "/"].map(imagesName)).toEqual(["photos", "photos", "emoji", "/"]);
});
