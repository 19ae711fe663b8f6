/**
 * Reading Python's pickles as data. A pickle is a program for a small stack machine, and its GLOBAL and REDUCE can call
 * anything that Python can import. This machine knows the operations that checkpoints need (protocols 2 to 5:
 * https://docs.python.org/3/library/pickletools.html) and a table of names; every other name stands for itself and does
 * nothing, whether it is called, made or given a state. None is run.
 */

import { shown } from "../tensor/text.ts";

/** What a pickle holds. Bytes are strings of the code points 0 to 255; tuples and sets are arrays. */
export type PickleValue = PickleObject | Map<PickleKey, PickleValue> | PickleValue[] | string | number | boolean | null;
export type PickleKey = string | number;

/** Anything that is not plain data. */
export abstract class PickleObject {
  /** What a sentence calls it. */
  abstract readonly what: string;
  /** Takes the state that BUILD gives to an object, when it has use for one. */
  build?(state: PickleValue, context: PickleContext): void;
}

/** A name of the table that may be called. The pickle's arguments are not to be trusted. */
export class PickleFunction extends PickleObject {
  readonly what: string;
  readonly call: (args: readonly PickleValue[], context: PickleContext) => PickleValue;

  constructor(name: string, call: PickleFunction["call"]) {
    super();
    this.what = name;
    this.call = call;
  }
}

/**
 * A name that is not in the table, and whatever comes of it: an object without content. What the pickle puts into it is
 * forgotten.
 */
export class Inert extends PickleObject {
  readonly what: string;

  constructor(what: string) {
    super();
    this.what = what;
  }
}

/** A dictionary that stands for an object: BUILD sets its attributes. */
export class Attributes extends Map<PickleKey, PickleValue> {}

/** What the functions of the table get besides arguments. */
export interface PickleContext {
  /** An error that names the file: `x.pth why`. */
  fail(why: string): Error;
  /** To be called before `count` elements are copied. All copies together have at most as many as the file has bytes. */
  copies(count: number): void;
}

export interface PickleOptions {
  /** Begins every sentence, usually the path. */
  readonly source: string;
  /** `module.name` → what stands for it. */
  readonly names: ReadonlyMap<string, PickleValue>;
  /** The object that a persistent id means; pickles with such ids are refused when left out. */
  readonly persistent?: (id: PickleValue, context: PickleContext) => PickleValue;
}

/** The operations of protocols 2 to 5 that such pickles have, named as in pickletools. */
const op = {
  MARK: 0x28,
  EMPTY_TUPLE: 0x29,
  STOP: 0x2e,
  POP: 0x30,
  POP_MARK: 0x31,
  DUP: 0x32,
  BINBYTES: 0x42,
  SHORT_BINBYTES: 0x43,
  BINFLOAT: 0x47,
  BININT: 0x4a,
  BININT1: 0x4b,
  BININT2: 0x4d,
  NONE: 0x4e,
  BINPERSID: 0x51,
  REDUCE: 0x52,
  BINSTRING: 0x54,
  SHORT_BINSTRING: 0x55,
  BINUNICODE: 0x58,
  EMPTY_LIST: 0x5d,
  APPEND: 0x61,
  BUILD: 0x62,
  GLOBAL: 0x63,
  APPENDS: 0x65,
  BINGET: 0x68,
  LONG_BINGET: 0x6a,
  BINPUT: 0x71,
  LONG_BINPUT: 0x72,
  SETITEM: 0x73,
  TUPLE: 0x74,
  SETITEMS: 0x75,
  EMPTY_DICT: 0x7d,
  PROTO: 0x80,
  NEWOBJ: 0x81,
  TUPLE1: 0x85,
  TUPLE2: 0x86,
  TUPLE3: 0x87,
  NEWTRUE: 0x88,
  NEWFALSE: 0x89,
  LONG1: 0x8a,
  LONG4: 0x8b,
  SHORT_BINUNICODE: 0x8c,
  BINUNICODE8: 0x8d,
  BINBYTES8: 0x8e,
  EMPTY_SET: 0x8f,
  ADDITEMS: 0x90,
  FROZENSET: 0x91,
  NEWOBJ_EX: 0x92,
  STACK_GLOBAL: 0x93,
  MEMOIZE: 0x94,
  FRAME: 0x95,
  BYTEARRAY8: 0x96,
} as const;

/**
 * What values take in memory, about, in bytes; and how much of that a pickle may take: `spare`, and beyond it `perByte` for
 * each of its bytes, which a history of training does with.
 */
const memory = { value: 8, number: 16, text: 40, list: 100, dictionary: 250, memo: 88, spare: 2 ** 27, perByte: 10 };

const limits = { integerBytes: 255, nameLetters: 1000 };

/** Modules that only an attack asks for. Whoever opens such a file with Python would run it, so it is refused. */
const hostileModules = new Set(
  [
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "shutil",
    "socket",
    "pty",
    "runpy",
    "importlib",
    "ctypes",
    "webbrowser",
  ].concat(["commands", "popen2", "code", "pickle", "_pickle", "marshal", "pip"]),
);
const hostileNames = new Set(
  ["builtins", "__builtin__"]
    .flatMap((module) =>
      ["eval", "exec", "execfile", "compile", "open", "__import__", "input"].map((name) => `${module}.${name}`),
    )
    .concat(["torch.load", "torch.hub.load", "numpy.load", "io.open"]),
);

/**
 * Runs the pickle that begins at byte `start`. Returns its value and the byte after it. Time and memory are bounded by
 * the length of `bytes`: an operation makes at most one value, and nothing that exists is copied more than once.
 * Throws one sentence that begins with the source.
 */
export function readPickle(
  bytes: Uint8Array,
  { source, names, persistent }: PickleOptions,
  start = 0,
): { value: PickleValue; end: number } {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const stack: PickleValue[] = [];
  const marks: number[] = [];
  const memo = new Map<number, PickleValue>();
  const unknown = new Map<string, Inert>();
  let at = start;
  let copied = 0;
  let left = memory.spare + memory.perByte * (bytes.length - start);

  const damaged = (why: string) => new Error(`${source} holds a damaged pickle: byte ${at} ${why}`);
  const context: PickleContext = {
    fail: (why) => new Error(`${source} ${why}`),
    copies(count) {
      copied += count;
      if (copied > bytes.length)
        throw new Error(`${source} repeats its content more often than a file of its size can need`);
    },
  };

  const spend = (amount: number) => {
    left -= amount;
    if (left < 0) throw context.fail("holds more lists, dictionaries and texts than a file of its size can need");
  };

  /** The next `length` bytes are passed. Returns where they begin. */
  const take = (length: number) => {
    if (length > bytes.length - at) throw damaged(`asks for ${length} bytes, but ${bytes.length - at} are left`);
    at += length;
    return at - length;
  };
  const u8 = () => view.getUint8(take(1));
  const u16 = () => view.getUint16(take(2), true);
  const u32 = () => view.getUint32(take(4), true);
  const u64 = () => Number(view.getBigUint64(take(8), true));
  const utf8 = (length: number) => {
    const from = take(length);
    return text.decode(bytes.subarray(from, from + length));
  };
  const binary = (length: number) => {
    const from = take(length);
    return Buffer.from(bytes.buffer, bytes.byteOffset + from, length).toString("latin1");
  };
  const integer = (length: number) => {
    if (length > limits.integerBytes) throw damaged(`begins a whole number of ${length} bytes`);
    const from = take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[from + i]!);
    return Number(BigInt.asIntN(8 * length, value));
  };
  const line = () => {
    const end = bytes.indexOf(10, at);
    if (end < 0) throw damaged("begins a name without an end");
    const name = utf8(end - at);
    at++;
    return name;
  };

  const pop = () => {
    if (stack.length <= (marks.at(-1) ?? 0)) throw damaged("takes from an empty stack");
    return stack.pop()!;
  };
  const top = () => {
    if (stack.length <= (marks.at(-1) ?? 0)) throw damaged("takes from an empty stack");
    return stack.at(-1)!;
  };
  /** Everything above the last mark. */
  const marked = () => {
    const mark = marks.pop();
    if (mark === undefined) throw damaged("misses a mark");
    return stack.splice(mark);
  };
  const last = (count: number) => {
    if (stack.length - count < (marks.at(-1) ?? 0)) throw damaged("takes from an empty stack");
    return stack.splice(stack.length - count);
  };
  const append = (items: readonly PickleValue[]) => {
    const target = top();
    if (target instanceof Inert) return;
    if (!Array.isArray(target)) throw damaged("adds to something that is not a list");
    for (const item of items) target.push(item);
  };
  const set = (items: readonly PickleValue[]) => {
    const target = top();
    if (target instanceof Inert && items.length % 2 === 0) return;
    if (!(target instanceof Map) || items.length % 2 !== 0)
      throw damaged("sets an entry of something else than a dictionary");
    for (let i = 0; i < items.length; i += 2) setEntry(target, items[i]!, items[i + 1]!);
  };
  const recall = (index: number) => {
    const value = memo.get(index);
    if (value === undefined) throw damaged(`recalls value ${index}, which was never stored`);
    return value;
  };
  const named = (module: PickleValue, name: PickleValue) => {
    if (typeof name !== "string" || typeof module !== "string") throw damaged("asks for a name that is not a text");
    if (module.length + name.length > limits.nameLetters)
      throw damaged(`asks for a name of ${module.length + name.length} letters`);
    const whole = `${module}.${name}`;
    const found = names.get(whole) ?? unknown.get(whole);
    if (found !== undefined) return found;
    if (hostileModules.has(module.split(".", 1)[0]!) || hostileNames.has(whole))
      throw context.fail(
        `asks for ${shown(whole)}, as only an attack does: do not open the file with other programs; nothing was run`,
      );
    spend(memory.dictionary);
    const inert = new Inert(shown(whole));
    unknown.set(whole, inert);
    return inert;
  };
  const call = (target: PickleValue, args: PickleValue) => {
    if (target instanceof Inert) return made(target, args);
    if (!(target instanceof PickleFunction))
      throw context.fail(`calls ${describe(target)}, which is not a function; nothing was run`);
    if (!Array.isArray(args)) throw damaged("has no list of arguments");
    return target.call(args, context);
  };
  const build = (state: PickleValue) => {
    const target = top();
    if (target instanceof Inert || state instanceof Inert) return;
    if (target instanceof Attributes) {
      const attributes = state instanceof Map ? state : Array.isArray(state) ? state[1] : undefined;
      if (!(attributes instanceof Map)) throw damaged("gives an object a state that is no dictionary");
      context.copies(attributes.size);
      for (const [key, value] of attributes) target.set(key, value);
    } else if (target instanceof PickleObject && target.build !== undefined) target.build(state, context);
    // Attributes of a dictionary, such as `_metadata` of a state dict, are not part of its content.
    else if (!(target instanceof Map)) throw context.fail(`gives a state to ${describe(target)}, which takes none`);
  };

  const push = (value: PickleValue) => {
    spend(
      value === null || typeof value === "boolean"
        ? memory.value
        : typeof value === "number"
          ? memory.number
          : memory.text,
    );
    stack.push(value);
  };
  /** Pushes what is there already. */
  const again = (value: PickleValue) => {
    spend(memory.value);
    stack.push(value);
  };
  const pushList = (items: PickleValue[]) => {
    spend(memory.list);
    stack.push(items);
  };
  const store = (index: number) => {
    spend(memory.memo);
    memo.set(index, top());
  };
  const operations: Readonly<Record<number, () => unknown>> = {
    [op.PROTO]: () => {
      const protocol = u8();
      if (protocol < 2 || protocol > 5)
        throw context.fail(`holds a pickle of protocol ${protocol}; 2 to 5 can be read`);
    },
    // Only a hint for buffering.
    [op.FRAME]: () => {
      if (u64() > bytes.length - at) throw damaged("begins a frame that is longer than the file");
    },
    [op.MARK]: () => marks.push(stack.length),
    [op.POP]: pop,
    [op.POP_MARK]: marked,
    [op.DUP]: () => again(top()),
    [op.NONE]: () => push(null),
    [op.NEWTRUE]: () => push(true),
    [op.NEWFALSE]: () => push(false),
    [op.BININT]: () => push(view.getInt32(take(4), true)),
    [op.BININT1]: () => push(u8()),
    [op.BININT2]: () => push(u16()),
    [op.LONG1]: () => push(integer(u8())),
    [op.LONG4]: () => push(integer(u32())),
    [op.BINFLOAT]: () => push(view.getFloat64(take(8))),
    [op.SHORT_BINUNICODE]: () => push(utf8(u8())),
    [op.BINUNICODE]: () => push(utf8(u32())),
    [op.BINUNICODE8]: () => push(utf8(u64())),
    // The texts of Python 2.
    [op.SHORT_BINSTRING]: () => push(utf8(u8())),
    [op.BINSTRING]: () => push(utf8(u32())),
    [op.SHORT_BINBYTES]: () => push(binary(u8())),
    [op.BINBYTES]: () => push(binary(u32())),
    [op.BINBYTES8]: () => push(binary(u64())),
    [op.BYTEARRAY8]: () => push(binary(u64())),
    [op.EMPTY_LIST]: () => pushList([]),
    [op.EMPTY_TUPLE]: () => pushList([]),
    [op.EMPTY_SET]: () => pushList([]),
    [op.EMPTY_DICT]: () => {
      spend(memory.dictionary);
      stack.push(new Map());
    },
    [op.APPEND]: () => append(last(1)),
    [op.APPENDS]: () => append(marked()),
    [op.ADDITEMS]: () => append(marked()),
    [op.TUPLE]: () => pushList(marked()),
    [op.TUPLE1]: () => pushList(last(1)),
    [op.TUPLE2]: () => pushList(last(2)),
    [op.TUPLE3]: () => pushList(last(3)),
    [op.FROZENSET]: () => pushList(marked()),
    [op.SETITEM]: () => set(last(2)),
    [op.SETITEMS]: () => set(marked()),
    [op.BINPUT]: () => store(u8()),
    [op.LONG_BINPUT]: () => store(u32()),
    [op.MEMOIZE]: () => store(memo.size),
    [op.BINGET]: () => again(recall(u8())),
    [op.LONG_BINGET]: () => again(recall(u32())),
    [op.GLOBAL]: () => push(named(line(), line())),
    [op.STACK_GLOBAL]: () => push(named(...(last(2) as [PickleValue, PickleValue]))),
    [op.REDUCE]: () => push(call(...(last(2) as [PickleValue, PickleValue]))),
    [op.NEWOBJ]: () => push(call(...(last(2) as [PickleValue, PickleValue]))),
    [op.NEWOBJ_EX]: () => {
      const [target, args] = last(3) as [PickleValue, PickleValue, PickleValue];
      push(call(target, args));
    },
    [op.BUILD]: () => build(pop()),
    [op.BINPERSID]: () => {
      if (persistent === undefined) throw context.fail("holds a persistent id where none can be");
      push(persistent(pop(), context));
    },
  };

  for (;;) {
    const code = u8();
    if (code === op.STOP) {
      const value = pop();
      if (stack.length > 0 || marks.length > 0) throw damaged("ends with values left on the stack");
      return { value, end: at };
    }
    const operation = operations[code];
    if (operation === undefined)
      throw context.fail(
        `holds a pickle with operation 0x${code.toString(16).padStart(2, "0")} at byte ${at - 1}, which no checkpoint of plain tensors needs; it was not run`,
      );
    operation();
  }
}

/** Sets an entry. What has a key that is neither text nor number is not kept, only that it was there. */
export function setEntry(target: Map<PickleKey, PickleValue>, key: PickleValue, value: PickleValue): void {
  if (typeof key === "string" || typeof key === "number") target.set(key, value);
  else target.set(oddKey, new Inert(`entries whose keys are neither texts nor numbers`));
}

const oddKey = "(other keys)";

/** What calling a name makes: an object of the same name, or of the class that it is given where it makes any class. */
function made(target: Inert, args: PickleValue): Inert {
  const first = Array.isArray(args) ? args[0] : undefined;
  return first instanceof Inert && /[._](_reconstruct(or)?|__newobj(_ex)?__)$/.test(target.what) ? first : target;
}

const text = new TextDecoder("utf-8", { ignoreBOM: true });

/** A value in a sentence. */
export function describe(value: PickleValue): string {
  if (value instanceof PickleObject) return value.what;
  if (value instanceof Map) return "a dictionary";
  if (Array.isArray(value)) return "a list";
  return typeof value === "string" ? shown(value) : String(value);
}
