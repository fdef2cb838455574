// The table of commands: names as docker, buildx and podman users type them. Each is loaded when it is called.
import { existsSync } from 'node:fs';
import type { CommandModule } from './cli.js';

interface Entry {
  readonly summary: string;
  readonly load: () => Promise<CommandModule>;
}

const commands: Readonly<Record<string, Entry>> = {
  build: { summary: 'build an image from a Buildfile (the default command)', load: () => import('./build.js') },
  run: { summary: 'run a program from an image', load: () => import('./run.js') },
  why: { summary: 'say why steps of a build were not cached', load: () => import('./why.js') },
  images: { summary: 'list images', load: () => import('./images.js') },
  inspect: { summary: "show an image's manifest and config", load: () => import('./inspect.js') },
  history: { summary: "show an image's history, layer by layer", load: () => import('./history.js') },
  tag: { summary: 'give an image another name', load: () => import('./tag.js') },
  untag: { summary: 'take names away from an image, which stays', load: () => import('./untag.js') },
  rmi: {
    summary: 'remove names of images; what nothing refers to goes with the next gc',
    load: () => import('./rmi.js'),
  },
  import: {
    summary: 'make an image from a root directory, a tar, or Debian packages',
    load: () => import('./import.js'),
  },
  pull: { summary: 'fetch an image from a registry, a layout or another store', load: () => import('./pull.js') },
  push: { summary: 'send an image to a registry, another store or an OCI layout', load: () => import('./push.js') },
  referrers: {
    summary: 'list what refers to an image in its registry: signatures, bills of materials',
    load: () => import('./referrers.js'),
  },
  login: { summary: 'log in to a registry', load: () => import('./login.js') },
  logout: { summary: 'forget the password of a registry', load: () => import('./logout.js') },
  copy: {
    summary: 'copy an image between registries, layouts, archives and stores',
    load: () => import('./copy.js'),
  },
  save: { summary: 'write images to an archive', load: () => import('./save.js') },
  load: { summary: 'read images from an archive', load: () => import('./load.js') },
  serve: { summary: 'serve the store as a registry: pull from it, push to it', load: () => import('./serve.js') },
  df: { summary: 'show what the store holds and what it takes (also: du)', load: () => import('./df.js') },
  gc: { summary: 'remove what nothing refers to (also: prune)', load: () => import('./gc.js') },
  fsck: { summary: 'check the store, and repair it', load: () => import('./fsck.js') },
  'store info': {
    summary: 'show where the store is, and what its versions are',
    load: () => import('./store-info.js'),
  },
  'store drop-forms': {
    summary: 'drop what is made again from layers: indexes and trees',
    load: () => import('./store-drop-forms.js'),
  },
  'manifest create': {
    summary: 'make a list of images for several platforms',
    load: () => import('./manifest-create.js'),
  },
  'manifest add': { summary: 'add images to a list', load: () => import('./manifest-add.js') },
  'manifest annotate': {
    summary: 'say the platform of an image in a list, or annotate it',
    load: () => import('./manifest-annotate.js'),
  },
  'manifest remove': { summary: 'take images out of a list', load: () => import('./manifest-remove.js') },
  'manifest inspect': { summary: 'show a list, here or in a registry', load: () => import('./manifest-inspect.js') },
  'manifest push': { summary: 'send a list and all its images somewhere', load: () => import('./manifest-push.js') },
  'manifest rm': { summary: 'remove lists', load: () => import('./manifest-rm.js') },
  'cache ls': { summary: 'list the caches of RUN --mount=type=cache', load: () => import('./cache-ls.js') },
  'cache inspect': { summary: 'show what is known of a cache', load: () => import('./cache-inspect.js') },
  'cache prune': { summary: 'remove caches', load: () => import('./cache-prune.js') },
  'cache export': { summary: "write a cache's files to an archive", load: () => import('./cache-export.js') },
  'cache import': { summary: 'fill a cache from an archive', load: () => import('./cache-import.js') },
};

/** Other names of commands. */
const aliases: Readonly<Record<string, string>> = {
  du: 'df',
  prune: 'gc',
  'cache list': 'cache ls',
  'cache rm': 'cache prune',
};
const groups = ['cache', 'manifest', 'store'];

type Found =
  | { readonly name: string; readonly argv: readonly string[]; readonly load: () => Promise<CommandModule> }
  | { readonly text: string };

/**
 * The command that `argv` asks for, or the text that answers it. Anything that names no command is a build.
 *
 * @throws UsageError for a word that is neither a command nor something to build, but nearly a command
 */
export async function commandNamed(argv: readonly string[]): Promise<Found> {
  const globals = leadingGlobals(argv);
  const [first, ...rest] = wholeName(argv.slice(globals.length));
  if (first === 'help' || first === '--help' || first === '-h') return helpOn(wholeName(rest)[0]);
  if (first === '--version') return { text: `tsbuild ${version}\n` };
  if (first === 'version') return versions();
  const entry = first === undefined ? undefined : entryOf(first);
  if (first !== undefined && entry)
    return { name: aliases[first] ?? first, argv: [...globals, ...rest], load: entry.load };
  if (first !== undefined && groups.includes(first) && !existsSync(first)) return helpOnGroup(first, rest[0]);
  if (first !== undefined && /^[a-z]+$/.test(first) && !existsSync(first)) await refuseSlip(first);
  return { name: 'build', argv, load: () => import('./build.js') };
}

/** With the compressors: two that say the same make the same layers. */
async function versions(): Promise<Found> {
  const { codecEngines } = await import('#native');
  const engines = Object.entries(codecEngines()).map(([codec, engine]) => `${codec}: ${engine}\n`);
  return { text: `tsbuild ${version}\n${engines.join('')}` };
}

/** Options of every command may stand before its name, as with docker and git. */
function leadingGlobals(argv: readonly string[]): readonly string[] {
  let count = 0;
  for (;;) {
    const word = argv[count] ?? '';
    if (word === '--store') count += 2;
    else if (word === '--debug' || word.startsWith('--store=')) count += 1;
    else return argv.slice(0, count);
  }
}

/** The words with those of a command's name as one: 'cache', 'ls' is 'cache ls'. */
function wholeName(argv: readonly string[]): readonly string[] {
  const [first = '', second = '', ...rest] = argv;
  const name = `${first} ${second}`;
  return groups.includes(first) && entryOf(name) ? [name, ...rest] : argv;
}

function entryOf(name: string): Entry | undefined {
  const known = Object.hasOwn(aliases, name) ? aliases[name]! : name;
  return Object.hasOwn(commands, known) ? commands[known] : undefined;
}

/** What a group of commands has, when none of them was named. */
async function helpOnGroup(group: string, word: string | undefined): Promise<Found> {
  const names = Object.keys(commands).filter((name) => name.startsWith(`${group} `));
  if (word !== undefined && !word.startsWith('-')) {
    const { closest } = await import('../base/index.js');
    const near = closest(`${group} ${word}`, names);
    const hint = near === undefined ? `there are ${names.join(', ')}` : `did you mean tsbuild ${near}?`;
    throw await noCommand(`${group} ${word}`, hint);
  }
  return {
    text: `commands:\n${listed(names)}\n\n'tsbuild ${group} COMMAND --help' shows a command's options.\n\nexample:\n  tsbuild ${names[0]}\n`,
  };
}

async function helpOn(topic: string | undefined): Promise<Found> {
  if (topic === undefined) return { text: overview() };
  if (groups.includes(topic)) return helpOnGroup(topic, undefined);
  const entry = entryOf(topic);
  if (entry) return { name: topic, argv: ['--help'], load: entry.load };
  await refuseSlip(topic);
  throw await noCommand(topic, "'tsbuild help' lists the commands");
}

/** `tsbuild buidl .` is no build with two contexts. */
async function refuseSlip(word: string): Promise<void> {
  const { closest } = await import('../base/index.js');
  const near = closest(word, Object.keys(commands));
  if (near !== undefined) throw await noCommand(word, `did you mean tsbuild ${near}?`);
}

async function noCommand(word: string, hint: string): Promise<Error> {
  const { UsageError } = await import('./cli.js');
  return new UsageError('USAGE', { message: `there is no command ${word}`, hint });
}

declare const TSBUILD_VERSION: string;
const version = typeof TSBUILD_VERSION === 'undefined' ? 'from source' : TSBUILD_VERSION;

function listed(names: readonly string[]): string {
  const width = Math.max(...names.map((name) => name.length));
  return names.map((name) => `  ${name.padEnd(width)}  ${commands[name]!.summary}`).join('\n');
}

function overview(): string {
  return `tsbuild builds container images from Buildfiles (the Dockerfile language), without a daemon and without root.

usage: tsbuild [build] [-f FILE] [-t NAME] [CONTEXT]
       tsbuild COMMAND [OPTIONS] [ARGUMENTS]

commands:
${listed(Object.keys(commands))}

examples:
  tsbuild -t app:1 .                    build ./Buildfile (or Dockerfile) with . as context
  tsbuild run app:1                     run it
  tsbuild push app:1 localhost:5000/app:1
  tsbuild import --debian bookworm -t debian:bookworm

exit codes: 0 done, 1 the build or command failed, 2 the command line was wrong, 130 and 143 interrupted by Ctrl-C and
SIGTERM; 'tsbuild run' ends with the program's own.

'tsbuild COMMAND --help' shows a command's options. The store is $TSBUILD_STORE, else ~/.local/share/tsbuild;
its cache shrinks by itself where the disk gets full or $TSBUILD_STORE_MAX is exceeded: tsbuild gc --help.
No layer from outside becomes larger than $TSBUILD_LAYER_MAX (by default 1 TiB, and what looks like a bomb 8 GiB).
`;
}
