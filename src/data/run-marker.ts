/** How a run folder is told from a folder of images: its pictures are no images to train on. */

/** Whether a folder with these entries is a run's: recipe.json is written last, beside environment.json. */
export function isRunFolder(names: readonly string[]): boolean {
  return names.includes("recipe.json") && names.includes("environment.json");
}
