/** What is in a tar archive, by its headers alone: POSIX ustar and pax, GNU, and the old form. */
import { Header, Pax } from "tar";
import { shown } from "../../tensor/text.ts";
import { decodedName, tidied } from "./names.ts";
import { type Bytes, forwards } from "./positioned.ts";

/** A plain file in an archive. */
export interface Member {
  readonly name: string;
  /** Where its content lies, in bytes. */
  readonly offset: number;
  readonly size: number;
}

const block = 512;
const plain: ReadonlySet<string> = new Set(["File", "OldFile", "ContiguousFile"]);
/** What says something of the next file, or of all that follow. */
const notes: ReadonlySet<string> = new Set([
  "ExtendedHeader",
  "OldExtendedHeader",
  "GlobalExtendedHeader",
  "NextFileHasLongPath",
  "OldGnuLongPath",
]);
const mostNoteBytes = 2 ** 20;

/**
 * The plain files of an archive, in its order; links and all else are left out. Contents are jumped over. Names have no
 * `./` or `/` in front. Throws one sentence when a header is damaged, a content does not lie within the file, or a file
 * is stored as sparse. Archives that were put together end to end are read on; `onTrailing` hears how many bytes follow the
 * end and are no archive. `read`: for a caller that reads some contents on the way.
 */
export async function* members(
  file: Bytes,
  read = forwards(file),
  onTrailing?: (bytes: number) => void,
): AsyncGenerator<Member> {
  const { name: archive, size: total } = file;
  let everyone: Pax | undefined; // what a global header says of all members to come
  let extended: Pax | undefined; // and what others say of the next one
  let longName: string | undefined;

  for (let next = 0; next < total;) {
    const at = next;
    if (at + block > total) throw cutOff(archive, "a header", at + block, total);
    const bytes = await read(at, block);
    if (at === 0 && bytes[0] === 0x1f && bytes[1] === 0x8b)
      throw new Error(`${archive} is compressed, so that no image can be read by itself: unpack it with gunzip first`);
    if (at === 0 && bytes.toString("latin1", 0, 4) === "PK\x03\x04")
      throw new Error(`${archive} is a zip archive, whatever it is called: let its name end in .zip`);
    const header = parse(bytes, extended, everyone);
    if (header?.nullBlock === true) {
      everyone = extended = longName = undefined;
      next = await afterZeros(file, read, at);
      const isHeader = next + block <= total && parse(await read(next, block))?.cksumValid === true;
      if (next === total || isHeader) continue;
      onTrailing?.(total - next);
      return;
    }
    if (header === undefined || !header.cksumValid) throw damage(archive, at, "the checksum of a header is wrong");
    const { type, size, path = "" } = header;
    if (size === undefined || !Number.isSafeInteger(size)) throw damage(archive, at, "a header has no size");
    const offset = at + block;
    if (offset + size > total) throw cutOff(archive, shown(path), offset + size, total);
    next = offset + block * Math.ceil(size / block);

    if (notes.has(type)) {
      if (size > mostNoteBytes) throw damage(archive, at, `an extended header has ${size} bytes`);
      const text = decodedName(await read(offset, size));
      if (text.includes(" GNU.sparse.")) throw sparse(archive, path);
      if (type === "GlobalExtendedHeader") everyone = Pax.parse(text, everyone, true);
      else if (type.endsWith("ExtendedHeader")) extended = Pax.parse(text, extended);
      else longName = text.replace(/\0.*$/s, "");
    } else if (type === "SparseFile") {
      throw sparse(archive, path);
    } else if (type !== "NextFileHasLongLinkpath") {
      // Header puts a prefix before a pax path as well, which has all of the name.
      const name = tidied(longName ?? extended?.path ?? (path.includes("\ufffd") ? latin1Path(bytes) : path));
      extended = longName = undefined;
      if (plain.has(type) && name !== "") yield { name, offset, size };
    }
  }
}

/** The name in a header that is not UTF-8, as old systems write it. */
function latin1Path(header: Buffer): string {
  const field = (start: number, length: number) =>
    header.toString("latin1", start, start + length).replace(/\0.*$/s, "");
  const prefix = header.toString("latin1", 257, 263) === "ustar\0" ? field(345, 155) : "";
  return prefix === "" ? field(0, 100) : `${prefix}/${field(0, 100)}`;
}

/** Where the zeros end that begin at a block, at the beginning of a block or at the end of the file. */
async function afterZeros({ size }: Bytes, read: ReturnType<typeof forwards>, at: number): Promise<number> {
  for (let next = at; next < size;) {
    const bytes = await read(next, Math.min(zeros.length, size - next));
    const same = bytes.equals(zeros.subarray(0, bytes.length)) ? bytes.length : bytes.findIndex((byte) => byte !== 0);
    if (same < bytes.length) return next + same - (same % block);
    next += same;
  }
  return size;
}

const zeros = Buffer.alloc(2 ** 16);

/** Undefined when there is a number in it that is none. */
function parse(bytes: Buffer, extended?: Pax, everyone?: Pax): Header | undefined {
  try {
    return new Header(bytes, 0, extended, everyone);
  } catch {
    return undefined;
  }
}

function damage(archive: string, at: number, what: string): Error {
  return new Error(`${archive} is damaged or no tar archive: ${what} (byte ${at}); copy it again`);
}

function cutOff(archive: string, what: string, end: number, total: number): Error {
  return new Error(`${archive} is cut off: ${what} goes to byte ${end}, but it has ${total}; copy it again`);
}

function sparse(archive: string, name: string): Error {
  return new Error(`${archive} has a sparse file, ${shown(name)}, which is not read: pack it without --sparse`);
}
