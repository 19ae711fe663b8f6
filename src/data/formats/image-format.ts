/**
 * Which files are images, from their names, and what kind of file one is, from its first bytes: names lie, and libvips would
 * draw an SVG that is called .png.
 */
import { extname } from "node:path";

/** Formats that are read (see `decode`), with the endings of their files in lower case. */
const endings = {
  JPEG: [".jpg", ".jpeg", ".jpe", ".jfif"],
  PNG: [".png"],
  WebP: [".webp"],
  GIF: [".gif"],
  TIFF: [".tif", ".tiff"],
  AVIF: [".avif"],
};
export type ImageFormat = keyof typeof endings;
const imageFormats = Object.keys(endings) as ImageFormat[];
export const imageExtensions: readonly string[] = Object.values(endings).flat();

/** Endings of images that are not read, to tell people of them instead of passing them over like any other file. */
export const foreignExtensions: readonly string[] = (
  ".heic .heif .hif .bmp .dib .jp2 .j2k .jpx .jxl .jxr .psd .psb .xcf .svg .ico .tga .pcx .ppm .pgm .pbm .pnm .exr .hdr " +
  ".dds .dng .cr2 .cr3 .crw .nef .nrw .arw .srf .sr2 .orf .rw2 .raf .pef .srw .x3f .3fr .erf .kdc .dcr .mrw .raw .dcm " +
  ".dicom .nii .fits .fit .fts .svs .ndpi .mrxs .czi .nd2 .lif"
).split(" ");

export function isImageName(name: string): boolean {
  return imageExtensions.includes(extname(name).toLowerCase());
}

/** Beginnings as text of one byte a character; `brands` are those of the ISO media container of HEIF. */
const formats: readonly { name: string; starts: readonly string[] }[] = [
  { name: "JPEG", starts: ["\xff\xd8\xff"] },
  { name: "PNG", starts: ["\x89PNG\r\n\x1a\n"] },
  { name: "GIF", starts: ["GIF87a", "GIF89a"] },
  { name: "TIFF", starts: ["II*\0", "MM\0*", "II+\0", "MM\0+"] },
  { name: "BMP", starts: ["BM"] },
  { name: "JPEG XL", starts: ["\xff\x0a", "\0\0\0\x0cJXL "] },
  { name: "JPEG 2000", starts: ["\xff\x4f\xff\x51", "\0\0\0\x0cjP  "] },
  { name: "Photoshop", starts: ["8BPS"] },
  { name: "PDF", starts: ["%PDF-"] },
];

/** The format of an image that is read. Throws a sentence that says what the file is instead. */
export function formatOf(bytes: Uint8Array): ImageFormat {
  if (bytes.length === 0) throw new Error("the file is empty");
  const head = Buffer.from(bytes.subarray(0, 1024)).toString("latin1");
  const name = nameOf(head);
  const known = imageFormats.find((format) => format === name);
  if (known !== undefined) return known;
  if (head.startsWith("version https://git-lfs"))
    throw new Error("it is a pointer of Git LFS, not the image itself: run git lfs pull");
  const readable = `${imageFormats.slice(0, -1).join(", ")} or ${imageFormats.at(-1)}`;
  throw new Error(
    name === undefined
      ? `it does not begin like a ${readable} file`
      : `it is a ${name} file, whatever it is called: convert it to ${readable}`,
  );
}

function nameOf(head: string): string | undefined {
  if (head.startsWith("RIFF") && head.startsWith("WEBP", 8)) return "WebP";
  if (head.startsWith("ftyp", 4)) return isoFormat(head);
  const text = head.replace(/^\xef\xbb\xbf/, "").trimStart();
  if (/^<!doctype html|^<html/i.test(text)) return "HTML";
  if (text.startsWith("<") && /<svg[\s>]/i.test(text)) return "SVG";
  return formats.find(({ starts }) => starts.some((start) => head.startsWith(start)))?.name;
}

/** AVIF and HEIC share a container. The brands in its first box tell them apart, the main one or a compatible one. */
function isoFormat(head: string): string | undefined {
  const length = [0, 1, 2, 3].reduce((sum, i) => sum * 256 + head.charCodeAt(i), 0);
  const brands = head.slice(8, length).match(/.{4}/gs) ?? [];
  if (brands.some((brand) => /^avi[fs]$/.test(brand))) return "AVIF";
  if (brands.some((brand) => /^(hei[cxms]|hev[cxms]|mif1|msf1)$/.test(brand))) return "HEIC";
  return "video";
}
