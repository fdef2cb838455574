// What every command gets: its words, where to write, and the store when it needs one.
import { homedir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type Host, openHost } from '#native';
import { addUsers, openStore, type Store, type StoreOptions, storeFault } from '#store';
import type { CodedError } from '../base/index.js';
import { byteSize } from './quantities.js';
import { UsageError } from './usage-error.js';

export { UsageError };

/** A failure that the command has told already, in a form of its own: only its exit code is left to give. */
export class ToldError extends Error {
  readonly told = true;
}

export interface Cli {
  readonly env: NodeJS.ProcessEnv;
  readonly signal: AbortSignal;
  out(text: string): void;
  err(text: string): void;
  /** Opens the store that --store, TSBUILD_STORE or the default names; closed when the command ends. */
  openStore(dir: string | undefined, options?: StoreOptions): Promise<Store>;
  /** The machine, as root or as an ordinary user; closed when the command ends. */
  openHost(): Promise<Host>;
}

/** One command of the table: its words for help, its options, its work. */
export interface CommandModule {
  configure(command: Command): void;
  /** The words as commander takes them. */
  prepare?(argv: readonly string[], command: Command): readonly string[];
  /** Options of other tools' command of that name, and what to do instead. */
  readonly elsewhere?: Readonly<Record<string, string>>;
  /** @returns the exit code */
  run(cli: Cli, command: Command): Promise<number>;
}

export interface OpenCli {
  readonly cli: Cli;
  /** `error` in the words of the store whose file the machine refused; any other error unchanged. */
  explain(error: unknown): unknown;
  /** Adds who needs it to an error about a damaged object; before `close`. */
  addUsers(error: unknown): void;
  /** Closes everything that the command opened. */
  close(): Promise<void>;
}

/** A Cli over this process. */
export function openCli(env: NodeJS.ProcessEnv, signal: AbortSignal): OpenCli {
  const stores: Store[] = [];
  const closers: (() => Promise<void>)[] = [];
  const opened = async <T extends { close(): Promise<void> }>(opening: Promise<T>): Promise<T> => {
    const handle = await opening;
    closers.push(() => handle.close());
    return handle;
  };
  const cli: Cli = {
    env,
    signal,
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    openStore: (dir, options) =>
      opened(
        openStore(dir ?? defaultStore(env), {
          onDamage: (error) => cli.err(warning(error)),
          ...storeOptions(env),
          ...options,
        }).then((store) => {
          stores.push(store);
          return store;
        }),
      ),
    openHost: () => opened(openHost()),
  };
  return {
    cli,
    explain: (error) => {
      const path = error instanceof Error && 'path' in error ? String(error.path) : '';
      const dir = stores.find((each) => path.startsWith(`${each.dir}/`))?.dir;
      return dir === undefined ? error : storeFault(error, dir);
    },
    addUsers: (error) => {
      for (const store of stores) addUsers(store, error);
    },
    close: async () => {
      for (const close of closers.reverse()) await close();
    },
  };
}

function warning({ code, message, hint }: CodedError): string {
  return `warning[${code}]: ${message}\n${hint ? `help: ${hint}\n` : ''}`;
}

export function defaultStore(env: NodeJS.ProcessEnv): string {
  if (env.TSBUILD_STORE) return env.TSBUILD_STORE;
  return join(env.XDG_DATA_HOME || join(homedir(), '.local', 'share'), 'tsbuild');
}

/**
 * TSBUILD_FORM chooses how layers are mounted, for tests and for kernels that only claim to mount indexes; TSBUILD_LAYER_MAX
 * says how large a layer from outside may be.
 */
function storeOptions(env: NodeJS.ProcessEnv): StoreOptions {
  const form = env.TSBUILD_FORM || undefined;
  const maxLayerBytes = largestLayer(env);
  if (form === undefined || form === 'index' || form === 'tree') return { form, maxLayerBytes };
  throw new UsageError('USAGE', {
    message: `TSBUILD_FORM is ${JSON.stringify(form)}`,
    hint: "set it to 'index' or 'tree'",
  });
}

export function largestLayer(env: NodeJS.ProcessEnv): number | undefined {
  return env.TSBUILD_LAYER_MAX ? byteSize('TSBUILD_LAYER_MAX', env.TSBUILD_LAYER_MAX) : undefined;
}

/** Parser of an option that may be given several times; without it the option is undefined. */
export function collect(value: string, all: readonly string[] = []): readonly string[] {
  return [...all, value];
}
