// What a person settled about garbage collection once and for all: gc.json, as docker's daemon.json has it under builder.gc.
// TSBUILD_GC names another file, or switches the automatic collection off; TSBUILD_STORE_MAX is a ceiling for the whole store.
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { diskSpace, limitPolicies, type PrunePolicy, type Store } from '#store';
import { closest } from '../base/index.js';
import { cacheFilter } from './cache-filter.js';
import { UsageError } from './cli.js';
import { byteSize, durationMs } from './quantities.js';

export interface GcSettings {
  /** False: nothing is collected but by `tsbuild gc`. */
  readonly automatic: boolean;
  /** Null where nothing is settled. */
  readonly policies: readonly PrunePolicy[] | null;
  readonly maxStoreBytes: number | undefined;
}

/** @throws UsageError for a file that can't be understood */
export function gcSettings(env: NodeJS.ProcessEnv, store: Store): GcSettings {
  const maxStoreBytes = env.TSBUILD_STORE_MAX ? byteSize('TSBUILD_STORE_MAX', env.TSBUILD_STORE_MAX) : undefined;
  if (env.TSBUILD_GC === 'off') return { automatic: false, policies: null, maxStoreBytes };
  const file = env.TSBUILD_GC || join(env.XDG_CONFIG_HOME || join(homedir(), '.config'), 'tsbuild', 'gc.json');
  const text = readSettings(file, Boolean(env.TSBUILD_GC));
  if (text === null) return { automatic: true, policies: null, maxStoreBytes };
  return { ...new Settings(file, diskSpace(store).sizeBytes).parse(text), maxStoreBytes };
}

function readSettings(file: string, isNamed: boolean): string | null {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (!isNamed && (code === 'ENOENT' || code === 'ENOTDIR')) return null;
    throw new UsageError('USAGE', {
      message: `the settings of garbage collection can't be read: ${file} (${code})`,
      hint: isNamed ? "TSBUILD_GC names a file, or is 'off'" : undefined,
    });
  }
}

const policyKeys = ['all', 'filter', 'keepDuration', 'reservedSpace', 'maxUsedSpace', 'minFreeSpace'];
const limitKeys = {
  reservedSpace: 'ReservedSpace',
  maxUsedSpace: 'MaxUsedSpace',
  minFreeSpace: 'MinFreeSpace',
} as const;
type Limit = keyof typeof limitKeys;

/** Everything that is said of the file begins with its name. */
class Settings {
  readonly #file: string;
  readonly #diskBytes: number;

  constructor(file: string, diskBytes: number) {
    this.#file = file;
    this.#diskBytes = diskBytes;
  }

  parse(text: string): Omit<GcSettings, 'maxStoreBytes'> {
    const defaults = Object.values(limitKeys).map((name) => `default${name}`);
    const settings = this.#object(this.#json(text), 'it', ['enabled', 'policy', ...defaults]);
    const { enabled = true, policy } = settings;
    if (typeof enabled !== 'boolean') throw this.#refusal('enabled is true or false');
    if (policy !== undefined && !Array.isArray(policy)) throw this.#refusal('policy is a list of policies');
    const limits = this.#limits((name) => settings[`default${limitKeys[name]}`]);
    const standard = Object.values(limits).some((limit) => limit !== undefined) ? limitPolicies(limits) : null;
    return { automatic: enabled, policies: policy?.map((each: unknown) => this.#policy(each)) ?? standard };
  }

  #policy(value: unknown): PrunePolicy {
    const policy = this.#object(value, 'a policy', policyKeys);
    const { filter = [], keepDuration } = policy;
    if (!Array.isArray(filter) || !filter.every((each) => typeof each === 'string')) {
      throw this.#refusal('filter is a list of texts such as "type=exec.cachemount"');
    }
    const { matches, unusedForMs } = this.#told(() => cacheFilter(filter));
    const kept =
      keepDuration === undefined ? unusedForMs : this.#told(() => durationMs('keepDuration', `${keepDuration}`));
    return { matches, keepDurationMs: kept, ...this.#limits((name) => policy[name]) };
  }

  #limits(read: (name: Limit) => unknown): Pick<PrunePolicy, Limit> {
    const limit = (name: Limit): number | undefined => {
      const value = read(name);
      if (value === undefined) return undefined;
      const [, percent] = /^(\d+(?:\.\d+)?)%$/.exec(`${value}`) ?? [];
      return percent === undefined
        ? this.#told(() => byteSize(name, `${value}`))
        : Math.floor((this.#diskBytes * Number(percent)) / 100);
    };
    return {
      reservedSpace: limit('reservedSpace'),
      maxUsedSpace: limit('maxUsedSpace'),
      minFreeSpace: limit('minFreeSpace'),
    };
  }

  #json(text: string): unknown {
    try {
      return JSON.parse(text);
    } catch (error) {
      throw this.#refusal(`it is no JSON: ${(error as Error).message}`);
    }
  }

  #object(value: unknown, what: string, keys: readonly string[]): Readonly<Record<string, unknown>> {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw this.#refusal(`${what} is no object`, 'as in {"policy": [{"keepDuration": "30d", "maxUsedSpace": "20%"}]}');
    }
    const unknown = Object.keys(value).find((key) => !keys.includes(key));
    if (unknown === undefined) return value as Readonly<Record<string, unknown>>;
    const near = closest(unknown, keys);
    throw this.#refusal(
      `${what} has no ${JSON.stringify(unknown)}`,
      near === undefined ? `there are ${keys.join(', ')}` : `did you mean ${near}?`,
    );
  }

  #told<T>(read: () => T): T {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof UsageError)) throw error;
      throw this.#refusal(error.message, error.hint);
    }
  }

  #refusal(message: string, hint?: string): UsageError {
    return new UsageError('USAGE', { message: `${this.#file}: ${message}`, hint });
  }
}
