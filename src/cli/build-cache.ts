// --cache-from and --cache-to, as docker buildx has them.
import { type CacheOrigin, type CacheTarget, parseReference } from '#store';
import { closest } from '../base/index.js';
import type { CacheExport } from '../build/index.js';
import { given } from './build-values.js';
import { UsageError } from './cli.js';
import { booleanField, splitFields } from './fields.js';

interface Given {
  readonly option: string;
  readonly text: string;
  readonly type: string;
  readonly fields: ReadonlyMap<string, string>;
}

type Access = { readonly plainHttp: true | undefined };

const elsewhere: Readonly<Record<string, string>> = {
  inline: 'an image that carries records would not be the image; write type=registry,ref=NAME:cache beside it',
  gha: 'write type=local,dest=DIR and let the workflow keep the directory',
  s3: 'write type=local,dest=DIR and copy the directory, or type=registry,ref=NAME',
  azblob: 'write type=local,dest=DIR and copy the directory, or type=registry,ref=NAME',
};

/** @throws UsageError */
export function cacheOrigin(text: string, access: Access): CacheOrigin {
  const option = '--cache-from';
  const given = read(option, text, ['src', 'tag', 'digest', 'ref']);
  if (given.type === 'registry') return { kind: 'registry', ref: reference(given), access };
  const { fields } = given;
  return {
    kind: 'local',
    dir: directory(given, 'src'),
    tag: fields.get('tag') ?? 'latest',
    digest: fields.get('digest'),
  };
}

/** @throws UsageError */
export function cacheExport(text: string, access: Access): CacheExport {
  const option = '--cache-to';
  const names = ['dest', 'tag', 'ref', 'mode', 'compression', 'compression-level', 'reset', 'ignore-error'];
  const given = read(option, text, [...names, ...Object.keys(asAnyway)]);
  for (const [name, value] of given.fields) requireAnyway(given, name, value);
  const flag = (name: string): boolean => booleanField(option, name, given.fields.get(name) ?? 'false');
  const target: CacheTarget =
    given.type === 'registry'
      ? { kind: 'registry', ref: reference(given), access }
      : {
          kind: 'local',
          dir: directory(given, 'dest'),
          tag: given.fields.get('tag') ?? 'latest',
          reset: flag('reset'),
        };
  return {
    target,
    mode: oneOf(given, 'mode', ['min', 'max'], 'min'),
    compression: { compression: compressionOf(given), level: levelOf(given) },
    ignoreError: flag('ignore-error'),
  };
}

/** How it is done in any case; other builders can do otherwise. */
const asAnyway: Readonly<Record<string, boolean>> = {
  'oci-mediatypes': true,
  'image-manifest': true,
  'force-compression': true,
};

function requireAnyway({ option, text }: Given, name: string, value: string): void {
  if (!Object.hasOwn(asAnyway, name) || name === 'force-compression') return;
  if (booleanField(option, name, value) !== asAnyway[name])
    throw bad(option, text, `${name}=${value} is not there`, 'leave it out');
}

/** A text without fields is the name of a cache in a registry. */
function read(option: string, text: string, names: readonly string[]): Given {
  const parts = splitFields(option, text);
  if (parts.every((part) => !part.includes('='))) {
    return { option, text, type: 'registry', fields: new Map([['ref', text]]) };
  }
  const fields = new Map<string, string>();
  for (const part of parts) {
    const at = part.indexOf('=');
    const name = (at < 0 ? part : part.slice(0, at)).trim().toLowerCase();
    if (at <= 0 && name !== 'reset') throw bad(option, text, `${JSON.stringify(part)} is no field`, form(option));
    fields.set(name, at < 0 ? 'true' : part.slice(at + 1));
  }
  const type = fields.get('type');
  if (type === undefined) throw bad(option, text, 'there is no type', form(option));
  if (type !== 'local' && type !== 'registry') throw otherType(option, text, type);
  fields.delete('type');
  for (const name of fields.keys()) {
    if (names.includes(name)) continue;
    const near = closest(name, names);
    throw bad(option, text, `there is no field ${name}`, near ? `did you mean ${near}?` : form(option));
  }
  return { option, text, type, fields };
}

function otherType(option: string, text: string, type: string): UsageError {
  const hint = Object.hasOwn(elsewhere, type) ? elsewhere[type] : undefined;
  if (hint !== undefined) return bad(option, text, `caches of type ${type} are not there`, hint);
  const near = closest(type, ['local', 'registry']);
  return bad(option, text, `there is no type ${type}`, near ? `did you mean ${near}?` : form(option));
}

function directory({ option, text, fields }: Given, name: string): string {
  const dir = fields.get(name);
  if (dir) return dir;
  throw bad(option, text, `there is no ${name}`, form(option));
}

function reference({ option, text, fields }: Given): string {
  const ref = fields.get('ref');
  if (!ref) throw bad(option, text, 'there is no ref', `write ${option} type=registry,ref=NAME:TAG`);
  given(option, ref, parseReference);
  return ref;
}

function oneOf<T extends string>({ option, text, fields }: Given, name: string, values: readonly T[], byDefault: T): T {
  const value = fields.get(name);
  if (value === undefined) return byDefault;
  const found = values.find((each) => each === value);
  if (found !== undefined) return found;
  throw bad(
    option,
    text,
    `${name} is ${values.join(' or ')}, not ${JSON.stringify(value)}`,
    `write ${name}=${values[0]}`,
  );
}

function compressionOf(options: Given): 'gzip' | 'zstd' | 'none' {
  const name = oneOf(options, 'compression', ['gzip', 'zstd', 'uncompressed', 'none'], 'gzip');
  return name === 'uncompressed' ? 'none' : name;
}

function levelOf({ option, text, fields }: Given): number | undefined {
  const value = fields.get('compression-level');
  if (value === undefined) return undefined;
  if (/^\d+$/.test(value)) return Number(value);
  throw bad(option, text, `${JSON.stringify(value)} is no level`, 'write compression-level=3');
}

function form(option: string): string {
  return option === '--cache-to'
    ? 'write --cache-to type=local,dest=DIR,mode=max'
    : 'write --cache-from type=local,src=DIR';
}

function bad(option: string, text: string, problem: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `${option} ${text}: ${problem}`, hint });
}
