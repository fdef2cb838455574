// --output: where the result goes, in the fields that docker buildx takes.
import type { Compression } from '#store';
import { closest } from '../base/index.js';
import type { ImageForm, Output } from '../build/index.js';
import { type Annotated, annotations } from './build-annotation.js';
import { given, imageName } from './build-values.js';
import { UsageError } from './cli.js';
import { booleanField, splitFields } from './fields.js';

const option = '--output';
const types = ['image', 'registry', 'oci', 'docker', 'local', 'tar', 'cacheonly'] as const;
type OutputType = (typeof types)[number];

/** What all outputs of a build have. */
export interface CommonOutput extends Annotated {
  readonly names: readonly string[];
  /** --annotation. */
  readonly annotations: ImageForm['annotations'];
  /** --plain-http. */
  readonly plainHttp: true | undefined;
}

/** `-o DIR` is a directory of files, `-o -` a tar of them on standard output. @throws UsageError */
export function parseOutput(text: string, common: CommonOutput): Output {
  const fields = fieldsOf(text);
  const type = fields.get('type');
  if (type === undefined) throw bad(text, 'there is no type', `write ${option} type=image,name=NAME`);
  const known = types.find((each) => each === type);
  if (known === undefined) {
    const near = closest(type, types);
    throw bad(text, `there is no type ${type}`, near ? `did you mean ${near}?` : `it is one of ${types.join(', ')}`);
  }
  const reader = new Fields(text, known, fields);
  const output = outputOf(reader, known, common);
  reader.requireAllRead();
  return output;
}

/** The image in the store: what a build makes where nothing else is said. */
export function imageInStore(common: CommonOutput, push: boolean): Output {
  const fields = new Fields(`type=${push ? 'registry' : 'image'}`, 'image', new Map([['push', String(push)]]));
  return outputOf(fields, 'image', common);
}

function fieldsOf(text: string): Map<string, string> {
  if (!text.includes('=') && !text.includes(',')) {
    return new Map(Object.entries(text === '-' ? { type: 'tar', dest: '-' } : { type: 'local', dest: text }));
  }
  return new Map(
    splitFields(option, text).map((field) => {
      const at = field.indexOf('=');
      if (at > 0) return [field.slice(0, at).trim().toLowerCase(), field.slice(at + 1)];
      throw bad(text, `${JSON.stringify(field)} is no field`, `write fields as NAME=VALUE, with commas between`);
    }),
  );
}

function outputOf(fields: Fields, type: OutputType, common: CommonOutput): Output {
  switch (type) {
    case 'image':
    case 'registry': {
      const names = namesOf(fields, common);
      const push = fields.boolean('push', type === 'registry');
      const byDigest = fields.boolean('push-by-digest', false);
      const named = fields.boolean('store', true) && !byDigest;
      const plainHttp = fields.boolean('registry.insecure', false) ? true : common.plainHttp;
      fields.ignore('name-canonical', 'unpack', 'dangling-name-prefix', 'buildinfo');
      if (push && names.length === 0) {
        throw bad(fields.text, 'tag is needed when pushing to registry', 'name the image with -t, or name=');
      }
      return { kind: 'image', form: formOf(fields, common), names, push: push ? { byDigest, plainHttp } : null, named };
    }
    case 'oci':
    case 'docker': {
      const names = namesOf(fields, common);
      const form = formOf(fields, common);
      const tar = fields.boolean('tar', true);
      const dest = fields.value('dest');
      // Where docker loads it, it is in the store.
      if (type === 'docker' && dest === undefined && tar)
        return { kind: 'image', form, names, push: null, named: true };
      if (tar) return { kind: 'archive', form, names, dest: streamed(fields, dest), docker: type === 'docker' };
      if (type === 'docker')
        throw bad(fields.text, 'docker reads archives only', 'leave tar=false out, or write type=oci');
      return { kind: 'layout', form, names, dest: requireDest(fields, dest) };
    }
    case 'local': {
      const dest = requireDest(fields, fields.value('dest'));
      const mode = fields.value('mode') ?? 'copy';
      if (mode !== 'copy')
        throw bad(fields.text, `mode=${mode} is not supported`, 'empty the directory first, and leave mode out');
      return { kind: 'files', dest, ...filesOf(fields) };
    }
    case 'tar':
      return { kind: 'tar', dest: streamed(fields, fields.value('dest')), ...filesOf(fields) };
    case 'cacheonly':
      return { kind: 'none' };
  }
}

function filesOf(fields: Fields): { split: boolean; prefix: string } {
  const prefix = fields.value('attestation-prefix') ?? '';
  if (prefix.includes('/'))
    throw bad(fields.text, `attestation-prefix=${prefix} is no part of a name`, 'leave the / out');
  return { split: fields.boolean('platform-split', false), prefix };
}

function namesOf(fields: Fields, common: CommonOutput): readonly string[] {
  const own = (fields.value('name') ?? '').split(',').filter((name) => name !== '');
  return [...new Set([...common.names, ...own.map((name) => given(`${option} name`, name, imageName))])];
}

const compressions: Readonly<Record<string, Compression>> = {
  uncompressed: 'none',
  gzip: 'gzip',
  estargz: 'estargz',
  zstd: 'zstd',
};

function formOf(fields: Fields, common: CommonOutput): ImageForm {
  const compression = fields.value('compression') ?? null;
  if (compression !== null && !Object.hasOwn(compressions, compression)) {
    const near = closest(compression, Object.keys(compressions));
    const hint = near ? `did you mean ${near}?` : `it is one of ${Object.keys(compressions).join(', ')}`;
    throw bad(fields.text, `unsupported layer compression type: ${compression}`, hint);
  }
  const chosen = compression === null ? null : compressions[compression]!;
  const level = fields.value('compression-level');
  if (level !== undefined && !/^\d+$/.test(level)) {
    throw bad(fields.text, `compression-level=${level} is no number`, 'gzip and estargz take 0 to 9, zstd 1 to 22');
  }
  const oci = fields.boolean('oci-mediatypes', true);
  if (!oci && common.indexed) {
    throw bad(
      fields.text,
      'cannot export attestations or an index with "oci-mediatypes=false"',
      'leave one of the two out',
    );
  }
  const artifact = fields.boolean('oci-artifact', oci);
  if (!oci && artifact)
    throw bad(fields.text, '"oci-artifact=true" conflicts with "oci-mediatypes=false"', 'leave one of the two out');
  // Docker's types have no name for the others.
  const onlyOci = chosen === 'zstd' || chosen === 'estargz';
  fields.ignore('prefer-nondist-layers', 'attestation-inline');
  return {
    types: oci || onlyOci ? 'oci' : 'docker',
    compression: chosen,
    level: level === undefined ? undefined : requireLevel(fields, chosen, Number(level)),
    forceCompression: fields.boolean('force-compression', false) || chosen === 'estargz',
    rewriteTimestamp: fields.boolean('rewrite-timestamp', false),
    annotations: [...common.annotations, ...fields.annotations().flatMap((text) => annotations(text, common))],
    artifact,
  };
}

/** @throws UsageError before anything is built */
function requireLevel(fields: Fields, compression: Compression | null, level: number): number {
  const [least, greatest] = compression === 'zstd' ? [1, 22] : [0, 9];
  if (level >= least && level <= greatest) return level;
  const name = compression ?? 'gzip';
  throw bad(fields.text, `compression-level=${level} is no level of ${name}`, `it goes from ${least} to ${greatest}`);
}

/** Null is standard output. */
function streamed(fields: Fields, dest: string | undefined): string | null {
  if (dest !== undefined && dest !== '-') return dest;
  if (!process.stdout.isTTY) return null;
  throw bad(
    fields.text,
    'dest file is required: an archive is nothing for a terminal',
    'give dest=FILE, or write it into a pipe',
  );
}

function requireDest(fields: Fields, dest: string | undefined): string {
  if (dest !== undefined && dest !== '' && dest !== '-') return dest;
  throw bad(fields.text, 'dest is required', 'give dest=DIRECTORY');
}

/** The fields of one output, each to be read by somebody. */
class Fields {
  readonly text: string;
  readonly #type: string;
  readonly #values: ReadonlyMap<string, string>;
  readonly #known = new Set(['type']);

  constructor(text: string, type: string, values: ReadonlyMap<string, string>) {
    this.text = text;
    this.#type = type;
    this.#values = values;
  }

  value(name: string): string | undefined {
    this.#known.add(name);
    return this.#values.get(name);
  }

  boolean(name: string, usual: boolean): boolean {
    const value = this.value(name);
    return value === undefined ? usual : booleanField(option, name, value);
  }

  /** What asks for nothing that there is here. */
  ignore(...names: readonly string[]): void {
    for (const name of names) this.#known.add(name);
  }

  /** 'annotation-index.KEY=VALUE' as --annotation has it: 'index:KEY=VALUE'. */
  annotations(): string[] {
    return [...this.#values].flatMap(([name, value]) => {
      const [, place, key] = /^annotation(?:-([^.]+))?\.(.+)$/s.exec(name) ?? [];
      if (key === undefined) return [];
      this.#known.add(name);
      return [`${place ? `${place}:` : ''}${key}=${value}`];
    });
  }

  /** @throws UsageError */
  requireAllRead(): void {
    const unknown = [...this.#values.keys()].find((name) => !this.#known.has(name));
    if (unknown === undefined) return;
    const near = closest(unknown, [...this.#known]);
    const hint = near === undefined ? 'leave it out' : `did you mean ${near}?`;
    throw bad(this.text, `type=${this.#type} has no field ${unknown}`, hint);
  }
}

function bad(text: string, problem: string, hint: string | undefined): UsageError {
  return new UsageError('USAGE', { message: `${option} ${text}: ${problem}`, hint });
}
