// registries.conf, version 2, as podman, buildah and skopeo read it: where an image's name leads.
// Of containers-registries.conf(5) this is [[registry]] with its mirrors; short names and unqualified-search-registries are
// not ours: a name without a registry is docker.io's.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { StoreError } from '../errors.js';
import type { Environment } from './auth-files.js';

export interface RegistryRule {
  /** Of image names: 'host', 'host/team', '*.example.com'. */
  readonly prefix: string;
  /** What stands in its place; empty: itself. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly MirrorRule[];
  /** The file that says so. */
  readonly path: string;
}

export interface MirrorRule {
  readonly location: string;
  readonly insecure: boolean;
  readonly takes: 'all' | 'digest-only' | 'tag-only';
}

/**
 * $CONTAINERS_REGISTRIES_CONF alone; else the user's file or the system's, then drop-ins of the system and of the user: a
 * later rule replaces one with the same prefix.
 *
 * @throws StoreError REGISTRIES_CONF_INVALID
 */
export async function readRegistriesConf(env: Environment): Promise<RegistryRule[]> {
  const rules = new Map<string, RegistryRule>();
  for (const { path, text } of await readFiles(env)) {
    // Most have comments and short names only: the parser is not loaded for them.
    if (!/^\s*\[\[?\s*registr/m.test(text)) continue;
    for (const rule of await parseRegistriesConf(text, path)) rules.set(rule.prefix, rule);
  }
  return [...rules.values()];
}

interface ConfFile {
  readonly path: string;
  readonly text: string;
}

async function readFiles(env: Environment): Promise<ConfFile[]> {
  const named = env.CONTAINERS_REGISTRIES_CONF;
  if (named) {
    const text = await readIfThere(named);
    if (text !== null) return [{ path: named, text }];
    throw invalid(named, 'CONTAINERS_REGISTRIES_CONF names it, and it is not there');
  }
  const own = join(env.XDG_CONFIG_HOME || join(env.HOME ?? '/', '.config'), 'containers');
  const files: ConfFile[] = [];
  for (const path of [own, '/etc/containers'].map((dir) => join(dir, 'registries.conf'))) {
    const text = files.length > 0 ? null : await readIfThere(path);
    if (text !== null) files.push({ path, text });
  }
  for (const dir of ['/etc/containers', own].map((each) => join(each, 'registries.conf.d'))) {
    const names = await readdir(dir).catch((): string[] => []);
    for (const name of names.filter((each) => each.endsWith('.conf')).sort()) {
      const path = join(dir, name);
      const text = await readIfThere(path);
      if (text !== null) files.push({ path, text });
    }
  }
  return files;
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ENOTDIR', 'EACCES'].includes((error as NodeJS.ErrnoException).code ?? '')) return null;
    throw error;
  }
}

/** @throws StoreError REGISTRIES_CONF_INVALID */
export async function parseRegistriesConf(text: string, path: string): Promise<RegistryRule[]> {
  const { parse, TomlError } = await import('smol-toml');
  let value: Record<string, unknown>;
  try {
    value = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    throw invalid(`${path}:${error.line}:${error.column}`, error.message.split('\n')[0] ?? 'it is no TOML');
  }
  if (value.registries !== undefined)
    throw invalid(
      path,
      'it is of version 1, with [registries.…]',
      'write [[registry]] tables: containers-registries.conf(5)',
    );
  return tables(value.registry, 'registry', path).map((table) => ruleOf(new Table(table, path)));
}

function ruleOf(table: Table): RegistryRule {
  const location = table.text('location') ?? '';
  const prefix = table.text('prefix') ?? location;
  if (prefix === '') throw invalid(table.path, 'a [[registry]] has neither prefix nor location');
  const digestOnly = table.flag('mirror-by-digest-only');
  return {
    prefix,
    location,
    insecure: table.flag('insecure'),
    blocked: table.flag('blocked'),
    mirrors: table.all('mirror').map((mirror) => mirrorOf(mirror, digestOnly)),
    path: table.path,
  };
}

const takes = ['all', 'digest-only', 'tag-only'] as const;

function mirrorOf(table: Table, digestOnly: boolean): MirrorRule {
  const location = table.text('location');
  if (!location) throw invalid(table.path, 'a [[registry.mirror]] has no location');
  const asked = table.text('pull-from-mirror') || (digestOnly ? 'digest-only' : 'all');
  const known = takes.find((each) => each === asked);
  if (known === undefined)
    throw invalid(table.path, `pull-from-mirror is ${JSON.stringify(asked)}`, `it is one of ${takes.join(', ')}`);
  if (digestOnly && known !== 'digest-only')
    throw invalid(
      table.path,
      `pull-from-mirror of ${location} contradicts mirror-by-digest-only`,
      'leave one of the two out',
    );
  return { location, insecure: table.flag('insecure'), takes: known };
}

/** A table's fields, each of the type that it must have. */
class Table {
  readonly path: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(fields: Readonly<Record<string, unknown>>, path: string) {
    this.#fields = fields;
    this.path = path;
  }

  text(name: string): string | undefined {
    const value = this.#fields[name];
    if (value === undefined || typeof value === 'string') return value?.replace(/\/+$/, '');
    throw invalid(this.path, `${name} is no string`);
  }

  flag(name: string): boolean {
    const value = this.#fields[name] ?? false;
    if (typeof value === 'boolean') return value;
    throw invalid(this.path, `${name} is neither true nor false`);
  }

  all(name: string): Table[] {
    return tables(this.#fields[name], name, this.path).map((fields) => new Table(fields, this.path));
  }
}

function tables(value: unknown, name: string, path: string): Record<string, unknown>[] {
  const all = value ?? [];
  if (Array.isArray(all) && all.every((each) => typeof each === 'object' && each !== null && !Array.isArray(each)))
    return all;
  throw invalid(path, `${name} is no array of tables`, `write [[${name === 'mirror' ? 'registry.mirror' : name}]]`);
}

function invalid(path: string, problem: string, hint = 'mend it, or take it away'): StoreError {
  return new StoreError('REGISTRIES_CONF_INVALID', { message: `${path}: ${problem}`, hint });
}
