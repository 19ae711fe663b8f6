/** Small images, and writers of archives that can also write wrong ones. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { crc32, deflateRawSync } from "node:zlib";
import { type ColumnSource, parquetWriteBuffer } from "hyparquet-writer";
import { Header, Pax } from "tar";
import { encodePng } from "../../../src/data/formats/png.ts";

/** Name → content. */
export type Files = Readonly<Record<string, string | Uint8Array>>;

/** 6 × 4 pixels, all of which are (10 n, 100, 200). */
export function image(n: number): Promise<Uint8Array> {
  const data = Uint8Array.from({ length: 3 * 24 }, (_, i) => [10 * n, 100, 200][i % 3]!);
  return encodePng({ width: 6, height: 4, data });
}

/** Images `cat/0.png`, `dog/1.png`, `cat/2.png`, … */
export async function animals(count: number): Promise<Record<string, Uint8Array>> {
  const names = Array.from({ length: count }, (_, i) => `${i % 2 === 0 ? "cat" : "dog"}/${i}.png`);
  return Object.fromEntries(await Promise.all(names.map(async (name, i) => [name, await image(i)] as const)));
}

export function writeFolder(path: string, files: Files): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(path, name)), { recursive: true });
    writeFileSync(join(path, name), content);
  }
  return path;
}

/** An archive of these files, with node-tar's headers. */
export function tarOf(files: Files): Buffer {
  const members = Object.entries(files).map(([name, content]) => tarMember({ path: name }, content));
  return Buffer.concat([...members, Buffer.alloc(1024)]);
}

/** One member; `header` may lie about its size. */
export function tarMember(
  header: { readonly path: string; readonly type?: Header["type"]; readonly size?: number; readonly linkpath?: string },
  content: string | Uint8Array,
): Buffer {
  const bytes = Buffer.from(content);
  const full = {
    mode: 0o644,
    uid: 0,
    gid: 0,
    mtime: new Date(0),
    size: bytes.length,
    type: "File" as const,
    ...header,
  };
  const block = Buffer.alloc(512);
  const pax = new Header(full).encode(block) ? new Pax(full).encode() : Buffer.alloc(0);
  return Buffer.concat([pax, block, bytes, Buffer.alloc((512 - (bytes.length % 512)) % 512)]);
}

/** Makes the checksum of a header right. */
export function sealTar(archive: Buffer, at = 0): void {
  const block = archive.subarray(at, at + 512);
  block.fill(" ", 148, 156);
  block.write(
    `${block
      .reduce((sum, byte) => sum + byte, 0)
      .toString(8)
      .padStart(6, "0")}\0 `,
    148,
  );
}

export interface ZipOptions {
  readonly method?: number;
  readonly flags?: number;
  /** Sizes in extra fields, as in archives beyond 4 GB. */
  readonly zip64?: boolean;
  /** What the directory says of sizes. */
  readonly size?: number;
}

/** An archive of these files. */
export function zipOf(
  files: Iterable<readonly [name: string | Buffer, content: string | Uint8Array]>,
  options: ZipOptions = {},
): Buffer {
  const { method = 8, flags = 0, zip64 = false } = options;
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let at = 0;
  let count = 0;
  for (const [name, content] of files) {
    const [nameBytes, bytes] = [Buffer.from(name), Buffer.from(content)];
    const packed = method === 8 ? deflateRawSync(bytes) : bytes;
    const size = options.size ?? bytes.length;
    const fields = Buffer.alloc(26);
    fields.writeUInt16LE(20, 0);
    fields.writeUInt16LE(flags, 2);
    fields.writeUInt16LE(method, 4);
    fields.writeUInt32LE(crc32(bytes), 10);
    fields.writeUInt32LE(zip64 ? 0xffffffff : packed.length, 14);
    fields.writeUInt32LE(zip64 ? 0xffffffff : size, 18);
    fields.writeUInt16LE(nameBytes.length, 22);
    const local = Buffer.concat([Buffer.from("PK\x03\x04"), fields, nameBytes, packed]);
    const extra = Buffer.alloc(zip64 ? 28 : 0);
    if (zip64) {
      extra.writeUInt16LE(1, 0);
      extra.writeUInt16LE(24, 2);
      for (const [i, value] of [size, packed.length, at].entries()) extra.writeBigUInt64LE(BigInt(value), 4 + 8 * i);
    }
    fields.writeUInt16LE(extra.length, 24);
    const place = Buffer.alloc(14);
    place.writeUInt32LE(zip64 ? 0xffffffff : at, 10);
    directory.push(Buffer.concat([Buffer.from("PK\x01\x02\x14\0"), fields, place, nameBytes, extra]));
    parts.push(local);
    at += local.length;
    count++;
  }
  const list = Buffer.concat(directory);
  const end = Buffer.alloc(22);
  end.write("PK\x05\x06");
  for (const [place, value] of [
    [8, count],
    [10, count],
  ] as const)
    end.writeUInt16LE(zip64 ? 0xffff : value, place);
  end.writeUInt32LE(list.length, 12);
  end.writeUInt32LE(zip64 ? 0xffffffff : at, 16);
  if (!zip64) return Buffer.concat([...parts, list, end]);
  const [record, locator] = [Buffer.alloc(56), Buffer.alloc(20)];
  record.write("PK\x06\x06");
  for (const [place, value] of [
    [4, 44],
    [24, count],
    [32, count],
    [40, list.length],
    [48, at],
  ] as const)
    record.writeBigUInt64LE(BigInt(value), place);
  locator.write("PK\x06\x07");
  locator.writeBigUInt64LE(BigInt(at + list.length), 8);
  locator.writeUInt32LE(1, 16);
  return Buffer.concat([...parts, list, record, locator, end]);
}

export interface ParquetOptions {
  /** Images in a row group. */
  readonly rows?: number;
  readonly classes?: readonly string[];
  readonly pageSize?: number;
}

/** Images as a struct of bytes and path, and their labels, as Hugging Face's library writes them. */
export function parquetOf(
  rows: readonly { readonly bytes: Uint8Array | null; readonly path?: string; readonly label?: number }[],
  { rows: rowGroupSize = 4, classes, pageSize = 2 ** 20 }: ParquetOptions = {},
): Uint8Array {
  const features = { image: { _type: "Image" }, label: { _type: "ClassLabel", names: classes } };
  return parquetFile(
    [
      {
        name: "image",
        data: rows.map(({ bytes, path = null }) => (bytes === null && path === null ? null : { bytes, path })),
      },
      { name: "label", data: rows.map(({ label = -1 }) => BigInt(label)) },
    ],
    {
      rowGroupSize,
      pageSize,
      schema: [
        { name: "root", num_children: 2 },
        { name: "image", num_children: 2, repetition_type: "OPTIONAL" },
        { name: "bytes", type: "BYTE_ARRAY", repetition_type: "OPTIONAL" },
        { name: "path", type: "BYTE_ARRAY", converted_type: "UTF8", repetition_type: "OPTIONAL" },
        { name: "label", type: "INT64", repetition_type: "REQUIRED" },
      ],
      ...(classes === undefined
        ? {}
        : { kvMetadata: [{ key: "huggingface", value: JSON.stringify({ info: { features } }) }] }),
    },
  );
}

export function parquetFile(
  columnData: ColumnSource[],
  options: Omit<Parameters<typeof parquetWriteBuffer>[0], "columnData"> = {},
): Uint8Array {
  return new Uint8Array(parquetWriteBuffer({ columnData, ...options }));
}
