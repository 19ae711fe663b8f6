/** What prepare.ts writes and the page reads, `gallery.json`. Beside it: `gallery.bin`, `gallery.webp`, `encoder.onnx`. */
export interface Gallery {
  /** Of the run, for the reader. */
  readonly encoder: string;
  /** How an image becomes the encoder's input; the page follows it to the letter. */
  readonly view: import("layergraft/browser").CenterView;
  /** One per row of gallery.bin: float32, rows of unit length. */
  readonly names: readonly string[];
  /** The sheet gallery.webp: images row after row, each side × side pixels with a margin around it. */
  readonly thumbnails: {
    readonly columns: number;
    readonly rows: number;
    readonly side: number;
    readonly margin: number;
  };
}
