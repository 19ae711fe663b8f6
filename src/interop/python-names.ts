/** The classes of Python that checkpoints hold beside tensors (arguments, counters, NumPy numbers), as inert data. */
import {
  Attributes,
  describe,
  Inert,
  type PickleContext,
  PickleFunction,
  PickleObject,
  type PickleValue,
  setEntry,
} from "./pickle.ts";

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
  named("numpy.dtype", ([code = null]) => new NumpyType(code)),
  ...numpy.map((module) => named(`${module}.scalar`, numpyScalar)),
]);

function named(name: string, call: PickleFunction["call"]): [string, PickleFunction] {
  return [name, new PickleFunction(name, call)];
}

/** `dict()`, `dict({…})`, `dict([(key, value), …])`. */
function dictionary([content]: readonly PickleValue[], { fail, copies }: PickleContext): PickleValue {
  if (content === undefined) return new Map();
  if (content instanceof Map || content instanceof Inert) return content;
  if (!Array.isArray(content)) throw fail(`makes a dictionary of ${describe(content)}`);
  copies(content.length);
  const result = new Map<string | number, PickleValue>();
  for (const pair of content) {
    const [key, value] = Array.isArray(pair) ? pair : [];
    if (key === undefined || value === undefined)
      throw fail("makes a dictionary of something else than pairs of a key and a value");
    setEntry(result, key, value);
  }
  return result;
}

/** `a/b` of the parts `a` and `b`. */
function path(parts: readonly PickleValue[], { fail, copies }: PickleContext): PickleValue {
  const unknown = parts.find((part) => part instanceof Inert);
  if (unknown !== undefined) return unknown;
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

/** A type of NumPy's. Numbers of types that have no decoder, or of another byte order, are not read. */
class NumpyType extends PickleObject {
  readonly what: string;
  decode: ((view: DataView) => number | boolean) | undefined;
  readonly bytes: number;

  constructor(code: PickleValue) {
    super();
    this.what = `the NumPy type ${describe(code)}`;
    this.decode = typeof code === "string" && Object.hasOwn(decoders, code) ? decoders[code] : undefined;
    this.bytes = typeof code === "string" ? Number(code.slice(1)) : 0;
  }

  /** (version, byte order, …) */
  override build(state: PickleValue): void {
    const order = Array.isArray(state) ? state[1] : undefined;
    if (order !== "<" && order !== "|" && order !== "=") this.decode = undefined;
  }
}

function numpyScalar([type = null, bytes]: readonly PickleValue[], { fail }: PickleContext): PickleValue {
  if (type instanceof Inert) return type;
  if (type instanceof NumpyType && type.decode === undefined) return new Inert(`a value of ${type.what}`);
  if (!(type instanceof NumpyType) || typeof bytes !== "string" || bytes.length !== type.bytes)
    throw fail("holds a NumPy number whose type and size do not agree");
  return type.decode!(new DataView(Uint8Array.from(bytes, (byte) => byte.charCodeAt(0)).buffer));
}
