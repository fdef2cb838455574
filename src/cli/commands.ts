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
  images: { summary: 'list images', load: () => import('./images.js') },
  inspect: { summary: "show an image's manifest and config", load: () => import('./inspect.js') },
  history: { summary: "show an image's history, layer by layer", load: () => import('./history.js') },
  tag: { summary: 'give an image another name', load: () => import('./tag.js') },
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
  save: { summary: 'write images to an archive', load: () => import('./save.js') },
  load: { summary: 'read images from an archive', load: () => import('./load.js') },
  df: { summary: 'show what the store holds and what it takes', load: () => import('./df.js') },
  gc: { summary: 'remove what nothing refers to', load: () => import('./gc.js') },
};

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
  const [first, ...rest] = argv.slice(globals.length);
  if (first === 'help' || first === '--help' || first === '-h') return helpOn(rest[0]);
  if (first === 'version' || first === '--version') return { text: `tsbuild ${version}\n` };
  const entry = first === undefined ? undefined : entryOf(first);
  if (first !== undefined && entry) return { name: first, argv: [...globals, ...rest], load: entry.load };
  if (first !== undefined && /^[a-z]+$/.test(first) && !existsSync(first)) await refuseSlip(first);
  return { name: 'build', argv, load: () => import('./build.js') };
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

function entryOf(name: string): Entry | undefined {
  return Object.hasOwn(commands, name) ? commands[name] : undefined;
}

async function helpOn(topic: string | undefined): Promise<Found> {
  if (topic === undefined) return { text: overview() };
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

function overview(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length));
  const rows = Object.entries(commands).map(([name, { summary }]) => `  ${name.padEnd(width)}  ${summary}`);
  return `tsbuild builds container images from Buildfiles (the Dockerfile language), without a daemon and without root.

usage: tsbuild [build] [-f FILE] [-t NAME] [CONTEXT]
       tsbuild COMMAND [OPTIONS] [ARGUMENTS]

commands:
${rows.join('\n')}

examples:
  tsbuild -t app:1 .                    build ./Buildfile (or Dockerfile) with . as context
  tsbuild run app:1                     run it
  tsbuild push app:1 localhost:5000/app:1
  tsbuild import --debian bookworm -t debian:bookworm

exit codes: 0 done, 1 the build or command failed, 2 the command line was wrong, 130 and 143 interrupted by Ctrl-C and
SIGTERM; 'tsbuild run' ends with the program's own.

'tsbuild COMMAND --help' shows a command's options. The store is $TSBUILD_STORE, else ~/.local/share/tsbuild.
`;
}
