// --output: where the result goes. An image in the store, so far.
import { closest } from '../base/index.js';
import { imageName } from './build-values.js';
import { UsageError } from './cli.js';
import { booleanField, splitFields } from './fields.js';

export interface ImageOutput {
  /** More names of the image. */
  readonly names: readonly string[];
  readonly rewriteTimestamp: boolean;
  /** As for --annotation. */
  readonly annotations: readonly string[];
}

const option = '--output';
const form = 'type=image,name=NAME,rewrite-timestamp=true';

/** Kinds of results of other builders, with what makes the same from the image in the store. */
const otherTypes: Readonly<Record<string, string>> = {
  local: 'build with -t, then unpack what tsbuild save writes',
  tar: 'build with -t, then tsbuild save',
  oci: 'build with -t, then tsbuild save --format oci-archive -o FILE',
  docker: 'build with -t, then tsbuild save --format docker-archive -o FILE',
  registry: 'build with -t, then tsbuild push',
  cacheonly: 'build without -t: the steps are kept in the cache',
};

/** @throws UsageError */
export function imageOutput(text: string): ImageOutput {
  const fields = new Map(splitFields(option, text).map((field) => fieldOf(text, field)));
  const type = fields.get('type');
  if (type === undefined) throw bad(text, 'there is no type', `write ${option} ${form}`);
  if (type !== 'image') throw otherType(text, type);
  fields.delete('type');
  const output = { names: [] as string[], rewriteTimestamp: false, annotations: [] as string[] };
  for (const [name, value] of fields) {
    const annotation = /^annotation(?:-([^.]+))?\.(.+)$/s.exec(name);
    if (annotation) {
      output.annotations.push(`${annotation[1] ? `${annotation[1]}:` : ''}${annotation[2]}=${value}`);
    } else if (name === 'name') {
      output.names.push(...value.split(',').map(imageName));
    } else if (name === 'rewrite-timestamp') {
      output.rewriteTimestamp = booleanField(option, name, value);
    } else {
      requireDefault(text, name, value);
    }
  }
  return output;
}

function fieldOf(text: string, field: string): [name: string, value: string] {
  const at = field.indexOf('=');
  if (at > 0) return [field.slice(0, at).trim(), field.slice(at + 1)];
  // `-o out` is short for a local directory, `-o -` for a tar on standard output.
  if (field === text) throw otherType(text, text === '-' ? 'tar' : 'local');
  throw bad(text, `${JSON.stringify(field)} is no field`, `write ${option} ${form}`);
}

function otherType(text: string, type: string): UsageError {
  const hint = Object.hasOwn(otherTypes, type) ? otherTypes[type] : undefined;
  if (hint !== undefined) return bad(text, `results of type ${type} are not there yet`, hint);
  const near = closest(type, ['image', ...Object.keys(otherTypes)]);
  return bad(
    text,
    `there is no type ${type}`,
    near === undefined ? `write ${option} ${form}` : `did you mean ${near}?`,
  );
}

/** What an image of ours is anyway may be asked for. */
const defaults: Readonly<Record<string, boolean>> = {
  'oci-mediatypes': true,
  store: true,
  push: false,
  unpack: false,
  'push-by-digest': false,
  'name-canonical': false,
  'force-compression': false,
};
const ways: Readonly<Record<string, string>> = {
  push: 'build with -t, then tsbuild push',
  'push-by-digest': 'build with -t, then tsbuild push',
  compression: 'layers are compressed where they are sent: tsbuild push --compression',
  'compression-level': 'layers are compressed where they are sent: tsbuild push --compression',
  'force-compression': 'layers are compressed where they are sent: tsbuild push --compression',
};

function requireDefault(text: string, name: string, value: string): void {
  if (Object.hasOwn(defaults, name) && booleanField(option, name, value) === defaults[name]) return;
  if (Object.hasOwn(defaults, name) || Object.hasOwn(ways, name)) {
    throw bad(text, `${name}=${value} is not there yet`, ways[name] ?? 'leave it out');
  }
  const near = closest(name, ['name', 'rewrite-timestamp', 'annotation', ...Object.keys({ ...defaults, ...ways })]);
  throw bad(
    text,
    `there is no field ${name}`,
    near === undefined ? `write ${option} ${form}` : `did you mean ${near}?`,
  );
}

function bad(text: string, problem: string, hint: string | undefined): UsageError {
  return new UsageError('USAGE', { message: `${option} ${text}: ${problem}`, hint });
}
