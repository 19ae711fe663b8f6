/** How the report writes numbers. Fixed to English forms, so that a page does not depend on the machine's language. */
import type { Evaluation } from "../run/evaluation.ts";

/** 0.3514 → `35.1 %`, with a narrow no-break space. */
export function percent(share: number): string {
  return `${(share * 100).toFixed(1)}\u202f%`;
}

/** What numbers are, as a row of an evaluation says it. */
type Numbers = Pick<Evaluation["rows"][number], "metric" | "share" | "better">;

/** Shares as percentages, other numbers with three significant digits. */
export function metricValue({ share = true }: Pick<Numbers, "share">, value: number): string {
  return share ? percent(value) : compact(value);
}

/** The same without the sign of per cent, for a column whose head has it (`metricTitle`). */
export function metricNumber({ share = true }: Pick<Numbers, "share">, value: number): string {
  return share ? (value * 100).toFixed(1) : compact(value);
}

/** `accuracy, %` or `localisation error, px (lower is better)` */
export function metricTitle({ metric, share = true, better = "higher" }: Numbers): string {
  return `${metric}${share ? ", %" : ""}${better === "lower" ? " (lower is better)" : ""}`;
}

/** At an axis: whole percentages without decimals. */
export function axisValue(numbers: Pick<Numbers, "share">, value: number): string {
  return metricValue(numbers, value).replace(/\.0(?!\d)/, "");
}

/** Three significant digits: 1234.5 → `1,230`, 0.01234 → `0.0123`, 1.5e-7 → `1.5·10⁻⁷`. */
export function compact(value: number): string {
  if (value === 0 || !Number.isFinite(value)) return String(value);
  const size = Math.abs(value);
  if (size < 1e-3 || size >= 1e7) return scientific(value);
  return value.toLocaleString("en-US", { maximumSignificantDigits: 3 });
}

/** 0.000015 → `1.5·10⁻⁵`, 0.001 → `10⁻³` */
export function scientific(value: number): string {
  const [mantissa, exponent] = value.toExponential(1).split("e");
  const raised = Array.from(exponent!.replace("+", ""), (digit) => superscripts[digit] ?? digit).join("");
  return mantissa === "1.0" ? `10${raised}` : `${mantissa!.replace(".0", "")}·10${raised}`;
}

/** 4 → `4`, 12345 → `12,345` */
export function whole(value: number): string {
  return value.toLocaleString("en-US", { maximumFractionDigits: 0 });
}

/** Seconds → `48 s`, `12 min`, `3 h 20 min`, `2 d 4 h`. */
export function duration(seconds: number): string {
  if (seconds < 99.5) return `${Math.round(seconds)}\u202fs`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 100) return `${minutes}\u202fmin`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 === 0 ? `${hours}\u202fh` : `${hours}\u202fh ${minutes % 60}\u202fmin`;
  return `${Math.floor(hours / 24)}\u202fd ${hours % 24}\u202fh`;
}

/** Bytes → `15.6 GiB`. */
export function gibibytes(bytes: number): string {
  return `${(bytes / 2 ** 30).toFixed(1)}\u202fGiB`;
}

/** `2025-01-02T03:04:05.678Z` → `2025-01-02 03:04 UTC`. */
export function time(iso: string): string {
  return `${iso.slice(0, 10)} ${iso.slice(11, 16)} UTC`;
}

/** `1 image`, `3 images` */
export function count(n: number, noun: string): string {
  return `${whole(n)} ${noun}${n === 1 ? "" : "s"}`;
}

/** `learningRate` → `learning rate`, `knn_accuracy` → `knn accuracy` */
export function humanize(name: string): string {
  return name
    .replaceAll(/([a-z0-9])([A-Z])/g, (_, before: string, after: string) => `${before} ${after.toLowerCase()}`)
    .replaceAll("_", " ");
}

const superscripts: Readonly<Record<string, string>> = {
  "-": "⁻",
  "0": "⁰",
  "1": "¹",
  "2": "²",
  "3": "³",
  "4": "⁴",
  "5": "⁵",
  "6": "⁶",
  "7": "⁷",
  "8": "⁸",
  "9": "⁹",
};

/** What a source is called in a sentence: the last part of its path. */
export function imagesName(data: string): string {
  return data.split(/[\\/]/).findLast((part) => part !== "") ?? data;
}
