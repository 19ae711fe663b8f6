/** All kinds of sources. */
import { cifar } from "./cifar.ts";
import { emoji } from "./emoji/emoji.ts";
import { folder } from "./folder.ts";
import { glob } from "./glob.ts";
import { list } from "./list.ts";
import { parquet } from "./parquet.ts";
import { synthetic } from "./synthetic.ts";
import { tar } from "./tar.ts";
import { zip } from "./zip.ts";

export const kinds = [folder, list, glob, tar, zip, parquet, cifar, emoji, synthetic] as const;
