// The value of RUN --mount: comma-separated 'key=value' fields.
import { BuildError, closest } from '../base/index.js';
import { type FlagValue, unquoteFlag } from './flags.js';
import type { MountFlag, Word } from './types.js';

/** A mount with its keys checked against its type. What a type has no default for is null. */
export interface Mount {
  readonly type: 'bind' | 'cache' | 'tmpfs' | 'secret' | 'ssh';
  /** As written: a stage's own variables have no say in what it depends on. */
  readonly from: Word | null;
  readonly source: string | null;
  readonly target: string | null;
  readonly readonly: boolean;
  readonly id: string | null;
  readonly sharing: 'shared' | 'private' | 'locked' | null;
  readonly required: boolean;
  readonly env: string | null;
  readonly mode: number | null;
  readonly uid: number | null;
  readonly gid: number | null;
  readonly sizeBytes: number | null;
  /** Place of each key that was given, by its canonical name. */
  readonly keys: ReadonlyMap<string, Word>;
  readonly at: MountFlag['at'];
}

/**
 * The fields as a CSV record. A comma in quotes doesn't separate, wherever the quotes stand.
 * Carets point at fields where the flag stands on one line without quotes around all of it.
 */
export function splitMount(flag: FlagValue): Word[] {
  const pieces = splitOutsideQuotes(flag.raw);
  const [only] = pieces;
  if (pieces.length === 1 && only && /^['"]/.test(only.text)) {
    return splitOutsideQuotes(flag.text).map((piece) => ({ text: unquoteFlag(piece.text), at: flag.at }));
  }
  const inPlace = flag.at.end - flag.at.start === flag.raw.length;
  return pieces.map(({ text, start }) => ({
    text: unquoteFlag(text),
    at:
      inPlace && text !== ''
        ? { ...flag.at, start: flag.at.start + start, end: flag.at.start + start + text.length }
        : flag.at,
  }));
}

const canonicalKeys: Readonly<Record<string, string>> = {
  type: 'type',
  from: 'from',
  source: 'source',
  src: 'source',
  target: 'target',
  dst: 'target',
  destination: 'target',
  readonly: 'readonly',
  ro: 'readonly',
  readwrite: 'readwrite',
  rw: 'readwrite',
  id: 'id',
  sharing: 'sharing',
  required: 'required',
  env: 'env',
  mode: 'mode',
  uid: 'uid',
  gid: 'gid',
  size: 'size',
};

const types = ['bind', 'cache', 'tmpfs', 'secret', 'ssh'] as const;
const sharings = ['shared', 'private', 'locked'] as const;

/** Types that may have a key; keys that are not here are for all. */
const keyTypes: Readonly<Record<string, readonly Mount['type'][]>> = {
  from: ['bind', 'cache'],
  source: ['bind', 'cache', 'secret'],
  sharing: ['cache'],
  required: ['secret', 'ssh'],
  env: ['secret'],
  mode: ['cache', 'secret', 'ssh'],
  uid: ['cache', 'secret', 'ssh'],
  gid: ['cache', 'secret', 'ssh'],
  size: ['tmpfs'],
};

/**
 * Gives the fields their meaning.
 * @param expand variables in a value
 * @throws BuildError MOUNT_INVALID
 */
export function parseMount(flag: MountFlag, expand: (word: Word) => string): Mount {
  const keys = readKeys(flag, expand);
  const type = oneOf(keys.get('type'), 'mount type', types) ?? 'bind';
  for (const [key, word] of keys) {
    const allowed = keyTypes[key];
    if (allowed && !allowed.includes(type)) {
      throw invalid(`${articled(type)} mount has no ${key}`, word, `${key} is for ${listed(allowed)} mounts`);
    }
  }
  const text = (key: string): string | null => keys.get(key)?.text ?? null;
  const writable = flagOf(keys.get('readwrite'), 'readwrite');
  const mount: Mount = {
    type,
    from: keys.get('from') ?? null,
    source: text('source'),
    target: text('target'),
    readonly: flagOf(keys.get('readonly'), 'readonly') ?? (writable === null ? type === 'bind' : !writable),
    id: text('id'),
    sharing: oneOf(keys.get('sharing'), 'sharing', sharings),
    required: flagOf(keys.get('required'), 'required') ?? false,
    env: text('env'),
    mode: numberOf(keys.get('mode'), 'mode', 8),
    uid: numberOf(keys.get('uid'), 'uid', 10),
    gid: numberOf(keys.get('gid'), 'gid', 10),
    sizeBytes: sizeOf(keys.get('size')),
    keys,
    at: flag.at,
  };
  requireParts(mount);
  return mount;
}

/** The stage, image or context that a mount takes its files from, as written; null: the main context, or none. */
export function mountFrom(flag: MountFlag): Word | null {
  let from: Word | null = null;
  for (const field of flag.fields) {
    const [, key = '', value = ''] = /^([^=]*)=(.*)$/s.exec(field.text) ?? [];
    if (key.toLowerCase() === 'from' && value !== '') from = { text: value, at: field.at };
    if (key.toLowerCase() === 'type' && /^(tmpfs|secret|ssh)$/i.test(value)) return null;
  }
  return from;
}

function readKeys(flag: MountFlag, expand: (word: Word) => string): Map<string, Word> {
  const keys = new Map<string, Word>();
  for (const field of flag.fields) {
    const equals = field.text.indexOf('=');
    const given = (equals < 0 ? field.text : field.text.slice(0, equals)).toLowerCase();
    const key = Object.hasOwn(canonicalKeys, given) ? canonicalKeys[given]! : undefined;
    if (!key) {
      const near = closest(given, Object.keys(canonicalKeys));
      throw invalid(`a mount has no key ${JSON.stringify(given)}`, field, near ? `did you mean ${near}?` : undefined);
    }
    const bare = key === 'readonly' || key === 'readwrite' || key === 'required';
    if (equals < 0 && !bare) throw invalid(`${given} needs a value`, field, `write ${given}=VALUE`);
    const value = { text: field.text.slice(equals + 1), at: field.at };
    const text = equals < 0 ? 'true' : key === 'from' ? value.text : expand(value);
    if (key === 'readonly' || key === 'readwrite') for (const other of ['readonly', 'readwrite']) keys.delete(other);
    keys.set(key, { text, at: field.at });
  }
  return keys;
}

function articled(type: Mount['type']): string {
  return type === 'ssh' ? `an ${type}` : `a ${type}`;
}

function listed(types: readonly string[]): string {
  return types.join(', ').replace(/, (?=[^,]*$)/, ' and ');
}

function requireParts(mount: Mount): void {
  if (mount.type === 'secret') {
    const id = mount.keys.get('id');
    if (id && mount.keys.has('source')) throw invalid('source and id of a secret are the same; give one', id);
    if (!mount.id && !mount.source && !mount.target) {
      throw new BuildError('MOUNT_INVALID', {
        message: 'a secret mount needs an id',
        hint: 'add id=NAME',
        at: mount.at,
      });
    }
  } else if (mount.type !== 'ssh' && !mount.target) {
    throw new BuildError('MOUNT_INVALID', {
      message: `a ${mount.type} mount needs a target`,
      hint: 'add target=/PATH',
      at: mount.at,
    });
  }
}

function oneOf<T extends string>(word: Word | undefined, what: string, values: readonly T[]): T | null {
  if (!word) return null;
  const found = values.find((value) => value === word.text.toLowerCase());
  if (found) return found;
  const near = closest(word.text, values);
  const hint = near ? `did you mean ${near}?` : `it is one of ${values.join(', ')}`;
  throw invalid(`${JSON.stringify(word.text)} is no ${what}`, word, hint);
}

function flagOf(word: Word | undefined, key: string): boolean | null {
  if (!word) return null;
  if (/^(1|t|true)$/i.test(word.text)) return true;
  if (/^(0|f|false)$/i.test(word.text)) return false;
  throw invalid(`${key} is true or false, not ${JSON.stringify(word.text)}`, word);
}

function numberOf(word: Word | undefined, key: string, radix: 8 | 10): number | null {
  if (!word) return null;
  const value = Number.parseInt(word.text, radix);
  if (!(radix === 8 ? /^[0-7]+$/ : /^\d+$/).test(word.text) || value > 0xffffffff) {
    throw invalid(`${key} is a${radix === 8 ? 'n octal' : ''} number, not ${JSON.stringify(word.text)}`, word);
  }
  return value;
}

function sizeOf(word: Word | undefined): number | null {
  if (!word) return null;
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(word.text);
  const bytes = match ? Math.floor(Number(match[1]) * 1024 ** ' kmgtp'.indexOf(match[2]!.toLowerCase() || ' ')) : -1;
  if (!Number.isSafeInteger(bytes) || bytes < 0) {
    throw invalid(`size is a number of bytes, not ${JSON.stringify(word.text)}`, word, 'as in 1048576, 64m or 1g');
  }
  return bytes;
}

function splitOutsideQuotes(text: string): { text: string; start: number }[] {
  const pieces: { text: string; start: number }[] = [];
  let start = 0;
  let quote = '';
  for (let at = 0; at < text.length; at++) {
    const char = text[at]!;
    if (char === '\\') at++;
    else if (quote !== '') quote = char === quote ? '' : quote;
    else if (char === '"' || char === "'") quote = char;
    else if (char === ',') {
      pieces.push({ text: text.slice(start, at), start });
      start = at + 1;
    }
  }
  return [...pieces, { text: text.slice(start), start }];
}

function invalid(message: string, word: Word, hint?: string): BuildError {
  return new BuildError('MOUNT_INVALID', { message, hint, at: word.at });
}
