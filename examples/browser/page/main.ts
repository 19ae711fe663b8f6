/** The page: loads encoder and gallery, and answers an image with its nearest neighbours and with the encoder's attention. */
import type { InferenceSession, Tensor } from "onnxruntime-web";
import { fromCanvas, toInput } from "layergraft/browser";
import type { Gallery } from "../gallery.ts";

const element = (id: string) => document.getElementById(id)!;
const answer = element("answer");
const heads = element("heads");
const status = element("status");
const neighbourCount = 12;
const exampleCount = 24;

interface Encoder {
  /** Of one image, [3, size, size]. */
  run(input: Float32Array): Promise<{ feature: Float32Array; attention: Float32Array; heads: number }>;
  readonly provider: string;
}

async function main() {
  const gallery = (await (await load("gallery.json")).json()) as Gallery;
  const features = new Float32Array(await (await load("gallery.bin")).arrayBuffer());
  element("about").append(` The encoder: ${gallery.encoder}. ${gallery.names.length.toLocaleString("en")} images.`);
  const encoder = await loadEncoder(await download("encoder.onnx"));
  say(`Ready (${encoder.provider}).`);
  document.body.dataset["ready"] = "true";

  let latest = 0;
  const ask: Ask = (name, image) => void answerTo(name, image);
  /** Shows what the encoder makes of an image. A later question overtakes an earlier one. */
  async function answerTo(name: string, image: Promise<ImageBitmap>) {
    const ticket = ++latest;
    try {
      const input = toInput(pixelsOf(await image), gallery.view);
      const start = performance.now();
      const { feature, attention, heads } = await encoder.run(input);
      if (ticket !== latest) return;
      const time = performance.now() - start;
      answer.hidden = false;
      showNeighbours(gallery, nearest(feature, features, neighbourCount), ask);
      showAttention(gallery, input, attention, heads);
      say(`${name}: ${time.toFixed(0)} ms on ${encoder.provider}.`);
    } catch (error) {
      if (ticket === latest) say(`${name} cannot be shown: ${(error as Error).message}`, "bad");
    }
  }

  listen((file) => ask(file.name, decode(file)));
  const step = Math.max(1, Math.floor(gallery.names.length / exampleCount));
  const shown = gallery.names.flatMap((_, i) => (i % step === 0 ? [i] : [])).slice(0, exampleCount);
  element("examples").replaceChildren(...shown.map((i) => item(thumbnail(gallery, i, ask))));
}

/** Files that are dropped, pasted or chosen. */
function listen(use: (file: File) => void) {
  const drop = element("drop");
  const first = (files: FileList | null | undefined) => {
    const file = files?.[0];
    if (file !== undefined) use(file);
  };
  const input = element("file") as HTMLInputElement;
  input.addEventListener("change", () => {
    first(input.files);
    input.value = ""; // the same file may be chosen again
  });
  addEventListener("paste", ({ clipboardData }) => first(clipboardData?.files));
  for (const type of ["dragover", "drop"] as const)
    addEventListener(type, (event) => {
      event.preventDefault();
      drop.classList.toggle("over", type === "dragover");
      if (type === "drop") first(event.dataTransfer?.files);
    });
  addEventListener("dragleave", () => drop.classList.remove("over"));
}

async function decode(file: Blob): Promise<ImageBitmap> {
  try {
    return await createImageBitmap(file, { colorSpaceConversion: "default", premultiplyAlpha: "none" });
  } catch {
    throw new Error("this browser cannot read it as an image");
  }
}

function pixelsOf(image: ImageBitmap) {
  const { width, height } = image;
  const context = new OffscreenCanvas(width, height).getContext("2d")!;
  context.drawImage(image, 0, 0);
  return fromCanvas(context.getImageData(0, 0, width, height));
}

/** Rows of `features` (unit length) with the largest cosine, best first. */
function nearest(feature: Float32Array, features: Float32Array, count: number) {
  const width = feature.length;
  const norm = Math.hypot(...feature);
  const all = Array.from({ length: features.length / width }, (_, row) => {
    let product = 0;
    for (let i = 0; i < width; i++) product += features[row * width + i]! * feature[i]!;
    return { row, likeness: product / norm };
  });
  return all.sort((a, b) => b.likeness - a.likeness).slice(0, count);
}

type Ask = (name: string, image: Promise<ImageBitmap>) => void;

function showNeighbours(gallery: Gallery, found: ReturnType<typeof nearest>, ask: Ask) {
  const items = found.map(({ row, likeness }) => {
    const button = thumbnail(gallery, row, ask);
    button.append(text("name", gallery.names[row]!.split("/").at(-1)!), text("likeness", likeness.toFixed(3)));
    return item(button);
  });
  element("neighbours").replaceChildren(...items);
}

/** A button with image `i` of the gallery, which asks with that image. */
function thumbnail(gallery: Gallery, i: number, ask: Ask): HTMLButtonElement {
  const { columns, rows, side, margin } = gallery.thumbnails;
  const cell = side + 2 * margin;
  const [left, top] = [(i % columns) * cell + margin, Math.floor(i / columns) * cell + margin];
  const [width, height] = [columns * cell, rows * cell];
  const picture = text("thumbnail", "");
  picture.style.backgroundImage = 'url("gallery.webp")'; // beside the page, not beside the style sheet
  picture.style.backgroundSize = `${(100 * width) / side}% ${(100 * height) / side}%`;
  picture.style.backgroundPosition = `${(100 * left) / (width - side)}% ${(100 * top) / (height - side)}%`;
  const button = document.createElement("button");
  button.className = "image";
  button.title = gallery.names[i]!;
  button.setAttribute("aria-label", `ask with ${gallery.names[i]}`);
  button.append(picture);
  const cut = async () => {
    const sheet = await createImageBitmap(await (await load("gallery.webp")).blob());
    return createImageBitmap(sheet, left, top, side, side);
  };
  button.addEventListener("click", () => ask(gallery.names[i]!, cut()));
  return button;
}

/** What the class token looks at: the mean of all heads, or one of them. */
function showAttention({ view }: Gallery, input: Float32Array, attention: Float32Array, headCount: number) {
  const tokens = Math.sqrt(attention.length / headCount);
  const grid = Math.sqrt(tokens - 1);
  const ofHead = (head: number) => attention.subarray(head * tokens ** 2 + 1, head * tokens ** 2 + tokens);
  const mean = Float32Array.from({ length: tokens - 1 }, (_, i) => {
    let sum = 0;
    for (let head = 0; head < headCount; head++) sum += ofHead(head)[i]!;
    return sum / headCount;
  });
  const choices: { name: string; map: Float32Array }[] = [{ name: "all heads", map: mean }];
  for (let head = 0; head < headCount; head++) choices.push({ name: String(head + 1), map: ofHead(head) });
  const buttons = choices.map(({ name, map }) => {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = name;
    button.setAttribute("role", "radio");
    button.addEventListener("click", () => choose(button, name, map));
    return button;
  });
  function choose(chosen: HTMLButtonElement, name: string, map: Float32Array) {
    for (const button of buttons) button.setAttribute("aria-checked", String(button === chosen));
    drawAttention(input, view, map, grid);
    const where = name === "all heads" ? "mean of all heads" : `head ${name}`;
    element("caption").textContent = `Bright: where the last block looks (${where}).`;
  }
  heads.replaceChildren(...buttons);
  choose(buttons[0]!, "all heads", mean);
}

/** The image as the encoder sees it, darkened where it does not look. */
function drawAttention(input: Float32Array, { size, mean, std }: Gallery["view"], map: Float32Array, grid: number) {
  const image = new ImageData(size, size);
  const most = Math.max(...map);
  const patch = size / grid;
  for (let i = 0; i < size ** 2; i++) {
    const cell = Math.floor(Math.floor(i / size) / patch) * grid + Math.floor((i % size) / patch);
    const light = 0.15 + 0.85 * (map[cell]! / most);
    for (let channel = 0; channel < 3; channel++)
      image.data[4 * i + channel] = 255 * light * (input[channel * size ** 2 + i]! * std[channel]! + mean[channel]!);
    image.data[4 * i + 3] = 255;
  }
  const canvas = element("seen") as HTMLCanvasElement;
  canvas.width = canvas.height = size;
  canvas.getContext("2d")!.putImageData(image, 0, 0);
}

/** WebGPU where the browser has an adapter, else WebAssembly. */
async function loadEncoder(model: Uint8Array): Promise<Encoder> {
  const { gpu } = navigator as { gpu?: { requestAdapter(): Promise<unknown> } };
  const provider = (await gpu?.requestAdapter().catch(() => null)) == null ? "wasm" : "webgpu";
  const ort = provider === "wasm" ? await import("onnxruntime-web/wasm") : await import("onnxruntime-web/webgpu");
  // more than one thread needs a page that is cross-origin isolated: see vite.config.ts
  ort.env.wasm.numThreads = crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
  const session: InferenceSession = await ort.InferenceSession.create(model, { executionProviders: [provider] });
  return {
    provider: provider === "wasm" ? `WebAssembly, ${ort.env.wasm.numThreads} threads` : "WebGPU",
    async run(input) {
      const size = Math.sqrt(input.length / 3);
      const images = new ort.Tensor("float32", input, [1, 3, size, size]);
      const { pooler_output, attentions } = await session.run({ pixel_values: images });
      const read = async (value: Tensor | undefined) => (await value!.getData()) as Float32Array;
      return {
        feature: await read(pooler_output),
        attention: await read(attentions),
        heads: attentions!.dims[1]!,
      };
    },
  };
}

/** A file beside the page. Throws one sentence when it is not there. */
async function load(name: string): Promise<Response> {
  const response = await fetch(name);
  // a development server answers with the page itself what it does not have
  if (!response.ok || response.headers.get("content-type")?.startsWith("text/html") === true)
    throw new Error(`${name} is missing: make it with prepare.js first (README.md says how)`);
  return response;
}

/** A large file, with the share that has arrived. */
async function download(name: string): Promise<Uint8Array> {
  const response = await load(name);
  const size = Number(response.headers.get("content-length"));
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = response.body!.getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    parts.push(part.value);
    length += part.value.length;
    say(`Loading the encoder: ${size > 0 ? `${Math.round((100 * length) / size)} %` : `${length >> 20} MB`} …`);
  }
  const whole = new Uint8Array(length);
  for (let i = 0, at = 0; i < parts.length; at += parts[i++]!.length) whole.set(parts[i]!, at);
  return whole;
}

function say(message: string, kind: "good" | "bad" = "good") {
  status.textContent = message;
  status.className = kind;
}

function text(className: string, content: string): HTMLSpanElement {
  const span = document.createElement("span");
  span.className = className;
  span.textContent = content;
  return span;
}

function item(content: HTMLElement): HTMLLIElement {
  const li = document.createElement("li");
  li.append(content);
  return li;
}

main().catch((error: unknown) => say((error as Error).message, "bad"));
