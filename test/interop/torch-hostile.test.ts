/** Files that nobody should have to trust: each is refused with one sentence that begins with its path. */
import { readFileSync, writeFileSync } from "node:fs";
import { join as joinPath } from "node:path";
import { deflateRawSync } from "node:zlib";
import { describe, expect, it } from "vitest";
import { openTorchFile } from "../../src/interop/torch-file.ts";
import { temporaryFolder } from "../run/temporary.ts";
import * as write from "./torch-writer.ts";

const { call, dict, get, join, list, name, pickle, put, text, tuple, uint, whole } = write;

/** What opening a file of these bytes says, without the path. */
async function refusal(bytes: Uint8Array): Promise<string> {
  const path = joinPath(temporaryFolder(), "x.pth");
  writeFileSync(path, bytes);
  const error = await openTorchFile(path).then(
    ({ close }) => close(),
    (error: unknown) => error,
  );
  if (!(error instanceof Error)) return "nothing";
  expect(error.constructor).toBe(Error);
  expect(error.message).not.toContain("\n");
  expect(error.message.slice(0, path.length + 1)).toBe(`${path} `);
  return error.message.slice(path.length + 1);
}

const asksFor = (what: string) =>
  `asks for ${what}, as only an attack does: do not open the file with other programs; nothing was run`;
const hasOperation = (code: string) =>
  expect.stringMatching(`^holds a pickle with operation ${code} at byte \\d+, which no checkpoint .* was not run$`);
const repeats = "repeats its content more often than a file of its size can need";
const tooMany = "holds more lists, dictionaries and texts than a file of its size can need";
const damaged = (why: string) => expect.stringMatching(`^holds a damaged pickle: byte \\d+ ${why}$`);
const namespace = join(name("argparse", "Namespace"), ")\x81");
const parameter = name("torch._utils", "_rebuild_parameter");

/** A list that holds another list twice, which holds another one twice, … */
const laughs = (levels: number) =>
  tuple(put(0, list(text("ha"))), ...Array.from({ length: levels }, (_, i) => put(i + 1, list(get(i), get(i)))));
const nested = (levels: number, innermost: string | Uint8Array = "]") =>
  join("]".repeat(levels - 1), innermost, "a".repeat(levels - 1));

/** A file around a pickle, with storage 0 of some zeros if there are any. */
const archiveOf = (content: Uint8Array, zeros = 0) =>
  write.archive(content, zeros === 0 ? {} : { 0: Buffer.alloc(4 * zeros) });
const picklesOf = (content: Uint8Array, zeros = 0) =>
  write.pickles(content, zeros === 0 ? {} : { 0: { length: zeros, content: Buffer.alloc(4 * zeros) } });

describe.each([
  ["an archive", archiveOf],
  ["pickles", picklesOf],
])("in %s", (_, file) => {
  it.each<[string, readonly (string | Uint8Array)[], unknown]>([
    ["os.system", [call(name("os", "system"), text("touch /tmp/x"))], asksFor("os.system")],
    ["builtins.eval", [call(name("builtins", "eval"), text("1"))], asksFor("builtins.eval")],
    ["eval of Python 2", [call(name("__builtin__", "eval"), text("1"))], asksFor("__builtin__.eval")],
    [
      "posix.system by STACK_GLOBAL",
      [text("posix"), text("system"), "\x93", tuple(text("id")), "R"],
      asksFor("posix.system"),
    ],
    ["a name that is no text", [whole(1), text("system"), "\x93"], damaged("asks for a name that is not a text")],
    ["torch.load, to read another file", [call(name("torch", "load"), text("y"))], asksFor("torch.load")],
    ["a name that is never called", [name("subprocess", "Popen")], asksFor("subprocess.Popen")],
    ["a name of a module in it", [name("os.path", "x\x1b[2J")], asksFor("os.path.x\\x1b[2J")],
    ["a name inside an unknown object", [call(name("a", "B"), name("os", "system"))], asksFor("os.system")],
    ["arguments by keyword of os.system", [name("os", "system"), ")}\x92"], asksFor("os.system")],
    ["a name of a thousand letters", [name("a", "b".repeat(1000))], damaged("asks for a name of 1001 letters")],
    ["a name as an argument", [call(name("collections", "defaultdict"), name("os", "getcwd"))], asksFor("os.getcwd")],
    ["a class that is made without a call", [name("os", "_wrap_close"), ")\x81"], asksFor("os._wrap_close")],
    [
      "the result of a call called",
      [call(call(name("collections", "OrderedDict")), "N")],
      "calls a dictionary, which is not a function; nothing was run",
    ],
    ["a text called", [call(text("os.system"), "N")], "calls os.system, which is not a function; nothing was run"],
    [
      "a storage class called",
      [call(name("torch", "FloatStorage"), whole(2 ** 30))],
      "calls float32, which is not a function; nothing was run",
    ],
    ["arguments that are no list", [name("torch", "Size"), whole(3), "R"], damaged("has no list of arguments")],
    ["a call inside a call", [call(name("torch", "Size"), call(name("os", "system"), "N"))], asksFor("os.system")],
    [
      "a state for a function",
      [name("collections", "OrderedDict"), dict({ __call__: "N" }), "b"],
      "gives a state to collections.OrderedDict, which takes none",
    ],
    ["a state for a list", ["]", dict({}), "b"], "gives a state to a list, which takes none"],
    [
      "a state that is no dictionary",
      [namespace, list(), "b"],
      damaged("gives an object a state that is no dictionary"),
    ],

    ["EXT1", ["\x82\x01"], hasOperation("0x82")],
    ["EXT2", ["\x83\x01\x01"], hasOperation("0x83")],
    ["EXT4", ["\x84\x01\x01\x01\x01"], hasOperation("0x84")],
    ["INST", ["(ios\nsystem\n"], hasOperation("0x69")],
    ["OBJ", ["(", name("torch", "Size"), "o"], hasOperation("0x6f")],
    ["PERSID", ["Pstorage\n"], hasOperation("0x50")],
    ["an operation that does not exist", ["\xff"], hasOperation("0xff")],
    ["a buffer out of band", ["\x97"], hasOperation("0x97")],
    ["a protocol of the future", ["\x80\x09"], "holds a pickle of protocol 9; 2 to 5 can be read"],
    [
      "a persistent id of another kind",
      [tuple(text("module"), name("torch", "FloatStorage"), text("0"), text("cpu"), whole(1)), "Q"],
      "has a persistent id that is not a storage",
    ],
    ["a persistent id that is a text", [text("0"), "Q"], "has a persistent id that is not a storage"],
    [
      "a storage of an unknown class",
      [write.storage("0", 1, text("FloatStorage"))],
      /^has a storage of FloatStorage; supported: float32, /,
    ],
    ["a storage of less than nothing", [write.storage("0", -1)], "has a persistent id that is not a storage"],
    [
      "a storage of 2^60 elements",
      [write.tensor(write.storage("0", 2n ** 60n), [1])],
      "has a persistent id that is not a storage",
    ],
    [
      "a storage that is a view",
      [tuple(text("storage"), name("torch", "FloatStorage"), text("0"), text("cpu"), whole(1), tuple()), "Q"],
      /^has a storage that is a view of another one/,
    ],

    ["a list in itself", [put(0, "]"), get(0), "a"], "holds a dictionary or list that holds itself"],
    ["a dictionary in itself", [put(0, "}"), text("a"), get(0), "s"], "holds a dictionary or list that holds itself"],
    [
      "two lists in each other",
      [put(0, "]"), put(1, "]"), get(0), "aa"],
      "holds a dictionary or list that holds itself",
    ],
    ["a billion laughs", [laughs(60)], repeats],
    ["a thousand levels", [nested(1000)], "nests dictionaries and lists more than 100 levels deep"],
    ["two hundred thousand levels", [nested(200_000)], "nests dictionaries and lists more than 100 levels deep"],
    [
      "levels below levels",
      [tuple(put(0, nested(60)), nested(60, get(0)))],
      "nests dictionaries and lists more than 100 levels deep",
    ],
    [
      "objects that all get one large state",
      [
        put(0, dict(Object.fromEntries(Array.from({ length: 300 }, (_, i) => [i, "N"])))),
        "0",
        "(",
        ...Array.from({ length: 300 }, () => join(namespace, get(0), "b")),
        "t",
      ],
      repeats,
    ],
    [
      "paths of one long text",
      [
        put(0, text("x".repeat(5000))),
        "0](",
        ...Array.from({ length: 300 }, () => call(name("pathlib", "PosixPath"), get(0), get(0))),
        "e",
      ],
      repeats,
    ],
    [
      "dictionaries of one long list",
      [
        put(0, list(...Array.from({ length: 300 }, () => tuple(text("a"), "N")))),
        "0](",
        ...Array.from({ length: 300 }, () => call(name("collections", "OrderedDict"), get(0))),
        "e",
      ],
      repeats,
    ],
    [
      "a memo index that was never stored",
      [get(2 ** 32 - 1)],
      damaged("recalls value 4294967295, which was never stored"),
    ],

    ["a million dictionaries", ["(", "}".repeat(1_000_000), "t"], tooMany],
    ["one value stored two million times", ["N", "\x94".repeat(2_000_000)], tooMany],
    ["two million lists", ["(", "]".repeat(2_000_000), "t"], tooMany],
    [
      "an odd number of entries for an unknown object",
      [name("a", "B"), "(Nu"],
      damaged("sets an entry of something else than a dictionary"),
    ],

    ["an empty stack", ["0"], damaged("takes from an empty stack")],
    ["a mark below which it takes", ["N(0"], damaged("takes from an empty stack")],
    ["no mark", ["Nt"], damaged("misses a mark")],
    ["two values", ["NN"], damaged("ends with values left on the stack")],
    ["a mark that stays", ["N(N"], damaged("takes from an empty stack|ends with values left on the stack")],
    ["an entry for a list", ["]NNs"], damaged("sets an entry of something else than a dictionary")],
    ["an odd number of entries", ["}(Nu"], damaged("sets an entry of something else than a dictionary")],
    ["an item for a dictionary", ["}Na"], damaged("adds to something that is not a list")],
    ["a text of 4 GB", ["X", uint(4, 2 ** 32 - 1)], damaged("asks for 4294967295 bytes, but \\d+ are left")],
    [
      "a text of 2^63 bytes",
      ["\x8d", uint(8, 2n ** 63n)],
      damaged("asks for 9223372036854776000 bytes, but \\d+ are left"),
    ],
    [
      "bytes of 2^64",
      ["\x8e", uint(8, 2n ** 64n - 1n)],
      damaged("asks for 18446744073709552000 bytes, but \\d+ are left"),
    ],
    ["a frame of 2^63 bytes", ["\x95", uint(8, 2n ** 63n)], damaged("begins a frame that is longer than the file")],
    ["a whole number of 2 GB", ["\x8b", uint(4, 2 ** 31)], damaged("begins a whole number of 2147483648 bytes")],
    ["a name without an end", ["cos"], damaged("begins a name without an end")],

    ["a path of numbers", [call(name("pathlib", "PosixPath"), whole(1))], "makes a path of 1"],
    ["a device of lists", [call(name("torch", "device"), list())], "names the device a list"],
    [
      "a dictionary of numbers",
      [call(name("collections", "Counter"), list(whole(1)))],
      "makes a dictionary of something else than pairs of a key and a value",
    ],
    [
      "a NumPy number cut short",
      [call(name("numpy.core.multiarray", "scalar"), call(name("numpy", "dtype"), text("f8")), text("abc"))],
      "holds a NumPy number whose type and size do not agree",
    ],
    ["a parameter of a text", [call(parameter, text("x"))], "makes a parameter of x, which is not a tensor"],
    ["a tensor of a number", [write.tensor(whole(1), [1])], "makes a tensor of 1, which is not a storage"],
  ])("%s is refused", async (_, parts, why) => {
    expect(await refusal(file(pickle(...parts)))).toEqual(why instanceof RegExp ? expect.stringMatching(why) : why);
  });

  it.each<[string, Parameters<typeof write.tensor>[1], Parameters<typeof write.tensor>[2], string]>([
    ["2^60 elements", [2n ** 60n], {}, "whose shape"],
    ["a product of 2^60", [2 ** 30, 2 ** 30], {}, "sizes beyond any file"],
    [
      "a product beyond numbers, and a zero",
      [...Array(40).fill(2 ** 30), 0],
      { strides: Array(41).fill(0) },
      "sizes beyond any file",
    ],
    ["a negative size", [-2, -2], { strides: [1, 1] }, "whose shape"],
    ["a negative stride", [2, 2], { strides: [-1, 1] }, "whose shape"],
    ["a negative offset", [2], { offset: -1 }, "whose shape"],
    ["fewer strides than axes", [2, 2], { strides: [1] }, "whose shape"],
    [
      "an offset beyond the storage",
      [2],
      { offset: 3 },
      "[2] of float32 with strides [1] and offset 3, which needs more than the 4 elements of its storage",
    ],
    ["an offset far beyond the storage", [1], { offset: 2n ** 52n }, "needs more than the 4 elements"],
    ["one element too many", [5], {}, "needs more than the 4 elements"],
    ["strides that reach out", [2, 2], { strides: [3, 1] }, "needs more than the 4 elements"],
    ["a stride that reaches far out", [2], { strides: [2n ** 53n - 1n] }, "needs more than the 4 elements"],
    ["one element that becomes a million", [1000, 1000], { strides: [0, 0] }, "needs more than the 4 elements"],
  ])("a tensor of %s is refused", async (_, shape, options, why) => {
    const content = pickle(write.tensor(write.storage("0", 4), shape, options));
    expect(await refusal(file(content, 4))).toContain(why);
  });

  it("a storage in two types is refused", async () => {
    const second = write.storage("0", 4, name("torch", "IntStorage"));
    const content = pickle(tuple(write.tensor(write.storage("0", 4), [4]), write.tensor(second, [4])));
    expect(await refusal(file(content, 4))).toBe("describes storage 0 in two ways");
  });

  it("one storage in thousands of tensors is refused, which would fill the memory of whoever reads them all", async () => {
    const view = write.tensor(put(1, write.storage("0", 50_000)), [50_000]);
    const content = pickle(list(put(0, view), ...Array.from({ length: 100 }, () => get(0))));
    expect(await refusal(file(content, 50_000))).toBe(repeats);
  });

  it("one long shape in many tensors is refused", async () => {
    const [zeros, data] = [put(0, tuple(...Array<Buffer>(300).fill(whole(0)))), put(1, write.storage("0", 4))];
    const one = call(name("torch._utils", "_rebuild_tensor"), get(1), whole(0), get(0), get(0));
    const content = pickle(zeros, data, "00", list(...Array<Buffer>(300).fill(one)));
    expect(await refusal(file(content, 4))).toBe(repeats);
  });
});

const good = pickle(dict({ w: write.tensor(write.storage("0", 4), [4]) }));

describe("archives", () => {
  const data = Buffer.alloc(16);
  const content = { name: "x/data.pkl", content: good };

  it.each<[string, Uint8Array, string | RegExp]>([
    [
      "without data.pkl",
      write.zip([{ name: "x/y", content: data }]),
      "is a zip archive without data.pkl, so torch.save did not write it",
    ],
    [
      "of NumPy's arrays",
      write.zip([{ name: "Transformer/posembed.npy", content: data }]),
      /^is an archive of NumPy arrays \(\.npz\)/,
    ],
    ["without the storage", write.archive(good), "has no entry for storage 0"],
    [
      "with a storage cut short",
      write.archive(good, { 0: data.subarray(1) }),
      "needs 16 bytes for storage 0, but its entry has 15",
    ],
    [
      "with a storage outside its folder",
      write.zip([content, { name: "x/../data/0", content: data }]),
      /^is not a complete zip archive \(invalid relative path/,
    ],
    [
      "with two of one name",
      write.zip([content, { name: "x/data/0", content: data }, { name: "x/data/0", content: data }]),
      "has two entries of one name",
    ],
    [
      "with two of one name in two folders",
      write.zip([content, { name: "y/data.pkl", content: data }]),
      "has two entries of one name",
    ],
    [
      "of a big-endian machine",
      write.zip([content, { name: "x/byteorder", content: Buffer.from("big") }]),
      "was written on a big-endian machine; only little-endian numbers can be read",
    ],
    [
      "of TorchScript",
      write.zip([
        { ...content, method: 8 },
        { name: "x/constants.pkl", content: data },
      ]),
      "is a TorchScript archive, a program and not a checkpoint: save the state_dict of the module instead",
    ],
    [
      "that are compressed",
      write.zip([{ ...content, content: deflateRawSync(good), method: 8 }]),
      "has compressed or encrypted entries, which torch.save never writes",
    ],
    [
      "that are zip bombs",
      write.zip([
        {
          name: "x/data.pkl",
          content: deflateRawSync(Buffer.alloc(10_000_000)),
          method: 8,
          size: 10_000_000,
          packed: 9_000,
        },
      ]),
      "has compressed or encrypted entries, which torch.save never writes",
    ],
    [
      "with a pickle longer than the file",
      write.zip([{ ...content, size: 2 ** 31 }]),
      /^is not a complete zip archive \(file data overflows file bounds/,
    ],
    [
      "with two sizes of one entry",
      write.zip([{ ...content, packed: 1 }]),
      /^is not a complete zip archive \(compressed\/uncompressed size mismatch/,
    ],
    [
      "with an entry at a place beyond the end",
      write.zip([{ ...content, offset: 2 ** 31 }]),
      /^is not a complete zip archive \(it names byte \d+ of \d+\); get it again$/,
    ],
    [
      "with an entry where none begins",
      write.zip([{ ...content, offset: 3 }]),
      /^is not a complete zip archive \(invalid local file header signature/,
    ],
    [
      "with a pickle beyond any checkpoint's",
      write.zip([{ name: "x/data.pkl", content: Buffer.alloc(2 ** 27 + 1) }]),
      "has an entry data.pkl of 134217729 bytes, more than any checkpoint's",
    ],
    [
      "that say they have 65,535 entries",
      join(write.archive(good).subarray(0, -14), uint(4, 2 ** 32 - 1), write.archive(good).subarray(-10)),
      /^is not a complete zip archive/,
    ],
    [
      "with a directory 2^64 bytes into the file",
      withZip64(write.archive(good)),
      /^is not a complete zip archive \(it names byte \d+ of \d+\); get it again$/,
    ],
  ])("%s are refused", async (_, bytes, why) => {
    expect(await refusal(bytes)).toEqual(why instanceof RegExp ? expect.stringMatching(why) : why);
  });
});

/** The archive with a locator of a zip64 record where no file ends. */
function withZip64(archive: Buffer): Buffer {
  const locator = join("PK\x06\x07", uint(4, 0), uint(8, 2n ** 64n - 1n), uint(4, 1));
  return join(archive.subarray(0, -22), locator, archive.subarray(-22));
}

describe("pickles", () => {
  const four = { length: 4, content: Buffer.alloc(16) };
  const numbers = (magic: Buffer, version = 1001, machine: Buffer = dict({ little_endian: "\x88" })) =>
    join(pickle(magic), pickle(whole(version)), pickle(machine), good, pickle(list()));
  const foreign = "is a pickle, but not one of torch.save: it does not begin with PyTorch's magic number and version";
  const endian = "was not written on a little-endian machine; only little-endian numbers can be read";
  const magic = join("\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19");

  it.each<[string, Uint8Array, string]>([
    ["of anything", good, "holds a persistent id where none can be"],
    ["of another number", numbers(whole(7)), foreign],
    ["of another version", numbers(magic, 1002), foreign],
    ["of a big-endian machine", numbers(magic, 1001, dict({ little_endian: "\x89" })), endian],
    ["of a machine that says nothing", numbers(magic, 1001, list()), endian],
    ["without the storage", write.pickles(good), "lacks the data of storage 0"],
    [
      "with a storage that nobody uses",
      write.pickles(good, { 1: four }),
      "lists the storage 1, which no tensor uses or which it lists twice",
    ],
    [
      "with a storage cut short",
      write.pickles(good, { 0: { length: 4, content: Buffer.alloc(15) } }),
      expect.stringMatching(/^needs 16 bytes for storage 0 after byte \d+, but has \d+ in all$/),
    ],
    ["with another length", write.pickles(good, { 0: { ...four, length: 3 } }), "has 3 elements in storage 0, not 4"],
    [
      "with a length of 2^63",
      write.pickles(good, { 0: { ...four, length: 2n ** 63n } }),
      "has -9223372036854775808 elements in storage 0, not 4",
    ],
    [
      "with a storage listed twice",
      join(
        write.pickles(good).subarray(0, -2),
        text("0"),
        text("0"),
        "e.",
        uint(8, 4),
        Buffer.alloc(16),
        uint(8, 4),
        Buffer.alloc(16),
      ),
      "lists the storage 0, which no tensor uses or which it lists twice",
    ],
    ["with keys that are no list", join(write.pickles(good).subarray(0, -4), "N."), "has no list of its storages"],
  ])("%s are refused", async (_, bytes, why) => {
    expect(await refusal(bytes)).toEqual(why);
  });
});

it.each<[string, Uint8Array, string]>([
  ["nothing", Buffer.alloc(0), "is not a file of torch.save: it is empty"],
  [
    "a web page",
    Buffer.from("<!doctype html>\n<html>"),
    'is not a file of torch.save: it begins with "<!doctype html>\\n<htm"',
  ],
  [
    "a tar archive",
    Buffer.alloc(1024).fill("ustar", 257, 262),
    "is a tar archive: open its content, or, if PyTorch before 0.1.10 wrote it, save it again with a newer one",
  ],
  ["gzip", Buffer.from("\x1f\x8b\x08", "latin1"), "is compressed with gzip: unpack it first"],
  [
    "HDF5",
    Buffer.from("\x89HDF\r\n", "latin1"),
    "is an HDF5 file, as Keras and TensorFlow write, and not a checkpoint of PyTorch",
  ],
])("%s is refused", async (_, bytes, why) => {
  expect(await refusal(bytes)).toBe(why);
});

it.each(["archive-1.13.pth", "pickles-1.13.pth.tar", "protocol-5.bin"])(
  "%s cut off anywhere is refused",
  async (file) => {
    const whole = readFileSync(`test/fixtures/torch/${file}`);
    for (let length = 0; length < whole.length; length += 29)
      expect(await refusal(whole.subarray(0, length)), `${length} bytes`).not.toBe("nothing");
  },
);

it("a folder is refused", async () => {
  await expect(openTorchFile("test/fixtures/torch")).rejects.toThrow("test/fixtures/torch is not a file");
});
