/** The classes of Python that checkpoints hold beside tensors (arguments, counters, NumPy numbers), as inert data. */
import { Attributes, describe, type PickleContext, PickleFunction, PickleObject, type PickleValue } from "./pickle.ts";

/** Python 2 and 3 have other names for the same modules. */
const builtins = ["builtins", "__builtin__"];
const numpy = ["numpy.core.multiarray", "numpy._core.multiarray"];
const paths = ["PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"];

export const pythonNames: ReadonlyMap<string, PickleValue> = new Map<string, PickleValue>([
  named("collections.OrderedDict", dictionary),
  named("collections.Counter", dictionary),
  // The first argument makes default values.
  named("collections.defaultdict", ([, content], context) =>
    dictionary(content === undefined ? [] : [content], context),
  ),
  ...builtins.map((module) => named(`${module}.dict`, dictionary)),
  ...["list", "tuple", "set", "frozenset"].flatMap((type) =>
    builtins.map((module) => named(`${module}.${type}`, ([items = []]) => items)),
  ),
  ...["int", "long", "float", "bool", "str", "unicode"].flatMap((type) =>
    builtins.map((module) => named(`${module}.${type}`, ([value = null]) => value)),
  ),
  named("argparse.Namespace", () => new Attributes()),
  named("types.SimpleNamespace", () => new Attributes()),
  ...["pathlib", "pathlib._local"].flatMap((module) => paths.map((type) => named(`${module}.${type}`, path))),
  // How protocol 2 writes bytes: already a string of the code points 0 to 255.
  named("_codecs.encode", ([value = null]) => value),
  named("numpy.dtype", ([code], { fail }) => new NumpyType(code, fail)),
  ...numpy.map((module) => named(`${module}.scalar`, numpyScalar)),
]);

function named(name: string, call: PickleFunction["call"]): [string, PickleFunction] {
  return [name, new PickleFunction(name, call)];
}

/** `dict()`, `dict({…})`, `dict([(key, value), …])`. */
function dictionary([content]: readonly PickleValue[], { fail, copies }: PickleContext): PickleValue {
  if (content === undefined) return new Map();
  if (content instanceof Map) return content;
  if (!Array.isArray(content)) throw fail(`makes a dictionary of ${describe(content)}`);
  copies(content.length);
  return new Map(
    content.map((pair) => {
      const [key, value] = Array.isArray(pair) ? pair : [];
      if ((typeof key !== "string" && typeof key !== "number") || value === undefined)
        throw fail("makes a dictionary of something else than pairs of a key and a value");
      return [key, value];
    }),
  );
}

/** `a/b` of the parts `a` and `b`. */
function path(parts: readonly PickleValue[], { fail, copies }: PickleContext): PickleValue {
  const texts = parts.map((part) => {
    if (typeof part !== "string") throw fail(`makes a path of ${describe(part)}`);
    copies(part.length + 1);
    return part;
  });
  return texts.join("/").replace(/^\/\//, "/");
}

const decoders: Readonly<Record<string, (view: DataView) => number | boolean>> = {
  f8: (view) => view.getFloat64(0, true),
  f4: (view) => view.getFloat32(0, true),
  i8: (view) => Number(view.getBigInt64(0, true)),
  i4: (view) => view.getInt32(0, true),
  i2: (view) => view.getInt16(0, true),
  i1: (view) => view.getInt8(0),
  u8: (view) => Number(view.getBigUint64(0, true)),
  u4: (view) => view.getUint32(0, true),
  u2: (view) => view.getUint16(0, true),
  u1: (view) => view.getUint8(0),
  b1: (view) => view.getUint8(0) !== 0,
};

class NumpyType extends PickleObject {
  readonly what: string;
  readonly bytes: number;
  readonly decode: (view: DataView) => number | boolean;

  constructor(code: PickleValue | undefined, fail: PickleContext["fail"]) {
    super();
    this.what = `the NumPy type ${describe(code ?? null)}`;
    const decode = typeof code === "string" && Object.hasOwn(decoders, code) ? decoders[code] : undefined;
    if (decode === undefined)
      throw fail(`holds ${this.what}; numbers of ${Object.keys(decoders).join(", ")} can be read`);
    this.bytes = Number((code as string).slice(1));
    this.decode = decode;
  }

  /** (version, byte order, …) */
  override build(state: PickleValue, { fail }: PickleContext): void {
    const order = Array.isArray(state) ? state[1] : undefined;
    if (order !== "<" && order !== "|" && order !== "=")
      throw fail(
        `holds ${this.what} with byte order ${describe(order ?? null)}; only little-endian numbers can be read`,
      );
  }
}

function numpyScalar([type, bytes]: readonly PickleValue[], { fail }: PickleContext): PickleValue {
  if (!(type instanceof NumpyType) || typeof bytes !== "string" || bytes.length !== type.bytes)
    throw fail("holds a NumPy number whose type and size do not agree");
  return type.decode(new DataView(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)).buffer));
}
