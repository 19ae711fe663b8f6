/** Split files: lists that name some of the images and their labels, as the paper has them for few labels. */
import { readList } from "./image-list.ts";

/** Images of which a split file labels some: what they are called, and their classes. */
export interface Labelled {
  readonly ids: readonly string[];
  readonly labels: ArrayLike<number>;
  readonly classes: readonly string[];
}

/**
 * The rows of `images` that the split file at `path` names, in ascending order; one that is named twice counts once.
 *
 * An image is named by its id or by a part of it from a folder on, and the file may have more folders in front:
 * `train/n01440764/x.JPEG` means the id `n01440764/x.JPEG` as well. The file's labels need not be called or numbered as
 * `classes` are, but must divide the images as these do. Throws one sentence when they do not, when an image is missing,
 * or when a class has no image in the file.
 */
export async function rowsOfSplitFile(path: string, { ids, labels, classes }: Labelled): Promise<number[]> {
  const listed = [...(await readList(path)).images];
  const find = finder(ids);
  const missing: string[] = [];
  const rows = new Set<number>();
  const classOf = new Map<string, number>();
  const labelOf = new Map<number, string>();
  for (const { path: name, label, line } of listed) {
    const where = `${path}, line ${line}`;
    if (label === undefined) throw new Error(`${where} has no label after ${name}`);
    const [row, another] = find(name);
    if (another !== undefined)
      throw new Error(`${where}: ${name} may be ${ids[row!]} or ${ids[another]}; give more of its path`);
    if (row === undefined) {
      missing.push(name);
      continue;
    }
    rows.add(row);
    const found = labels[row]!;
    const expected = classOf.get(label) ?? found;
    const before = labelOf.get(found) ?? label;
    if (expected !== found || before !== label) {
      const earlier =
        expected === found
          ? `before, images of this class were labelled ${before}`
          : `before, ${label} was the label of ${classes[expected]}`;
      throw new Error(
        `${where} gives ${name}, which is of the class ${classes[found]}, the label ${label}; ${earlier}, ` +
          "and labels must divide the images as their classes do",
      );
    }
    classOf.set(label, found);
    labelOf.set(found, label);
  }
  if (missing.length > 0)
    throw new Error(
      `${missing.length} of the ${listed.length} images that ${path} lists are not among the ${ids.length} training ` +
        `images (those of validation and test do not count); the first: ${missing[0]}`,
    );
  const untaught = classes.filter((_, label) => !labelOf.has(label));
  if (untaught.length > 0)
    throw new Error(
      `${path} lists no image of the class ${untaught[0]}` +
        `${untaught.length === 1 ? "" : ` and of ${untaught.length - 1} more`}; every class needs one to learn it from`,
    );
  return [...rows].sort((a, b) => a - b);
}

/** A function that finds the row of a path, or two rows when it may be either. */
function finder(ids: readonly string[]): (path: string) => number[] {
  const byName = new Map<string, number[]>();
  const nameOf = (path: string) => path.slice(path.lastIndexOf("/") + 1);
  for (const [row, id] of ids.entries()) {
    const name = nameOf(id);
    const rows = byName.get(name);
    if (rows === undefined) byName.set(name, [row]);
    else rows.push(row);
  }
  return (path) => {
    const candidates = byName.get(nameOf(path)) ?? [];
    const same = candidates.filter((row) => ids[row] === path);
    if (same.length > 0) return same.slice(0, 1);
    return candidates.filter((row) => `/${ids[row]}`.endsWith(`/${path}`) || `/${path}`.endsWith(`/${ids[row]}`));
  };
}
