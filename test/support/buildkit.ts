// The same case built by BuildKit itself, where its programs are installed (Debian has no package of it): the builder
// whose Buildfiles must build here unchanged, to the same image.
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { copyCase, type Expectation, runShell } from './case-folder.js';
import { serverArgument, startFileServer } from './file-server.js';
import { type ImageFiles, readLayoutImage } from './layer-files.js';
import { fileLine, type Peer } from './peer.js';
import { installed, isRoot, type Person } from './tsbuild.js';

interface Buildkit extends Peer {
  close(): Promise<void>;
}

/** Why it can't be asked; null: it can. */
export function whyNoBuildkit(): string | null {
  const missing = ['buildkitd', 'buildctl', 'runc'].filter((program) => !installed(program));
  if (missing.length > 0) return `${missing.join(', ')}: not installed`;
  return isRoot ? null : 'its daemon needs root';
}

/** @param base what Buildfiles call it, and the tag under which `person` has it */
export async function openBuildkit(person: Person, base: { name: string; tag: string }): Promise<Buildkit> {
  const home = person.dir('buildkit');
  const address = `unix://${join(home, 'socket')}`;
  const daemon = await startDaemon(home, address);

  const layout = join(home, 'base');
  await person.run(['push', '-q', base.tag, `oci-layout:${layout}:1`]);
  const index = JSON.parse(readFileSync(join(layout, 'index.json'), 'utf8')) as { manifests: { digest: string }[] };
  const named = [
    `--oci-layout=base=${layout}`,
    `--opt=context:${baseName}=oci-layout://base@${index.manifests[0]?.digest}`,
  ];

  const build = async (
    dir: string,
    words: readonly string[],
    output: string | null,
    env: Expectation['env'] = {},
  ): Promise<void> => {
    const { options, file, context } = translate(dir, words, env);
    if (existsSync(join(dir, file))) replaceBase(join(dir, file), base.name);
    const files = isUrl(context)
      ? [`--opt=context=${context}`]
      : [`--local=context=${resolve(dir, context)}`, `--local=dockerfile=${dir}`];
    const locals = [...files, `--opt=filename=${file}`, '--allow=network.host'];
    const to = output === null ? [] : [`--output=type=oci,tar=false,${uncompressed},dest=${output}`];
    const command = ['build', '--progress=plain', '--frontend=dockerfile.v0', ...locals, ...named, ...options, ...to];
    await promisify(execFile)('buildctl', ['--addr', address, ...command], {
      cwd: dir,
      env: { PATH: process.env.PATH, ...env },
    });
  };
  return {
    async build(name, expected) {
      const dir = copyCase(person, name);
      const output = person.dir('image');
      for (const command of expected.before ?? []) {
        if (typeof command === 'string') await runShell(person, command, dir);
        else await build(dir, command, null, expected.env);
      }
      const server = existsSync(join(dir, 'served')) ? await startFileServer(join(dir, 'served')) : null;
      try {
        const words = ['-f', 'Buildfile', ...(expected.args ?? []), expected.context ?? 'context'];
        const known = words.map((word) => word.replaceAll('$SERVER', server?.url ?? ''));
        await build(dir, [...serverArgument(server), ...known], output, expected.env);
      } catch (error) {
        if (expected.exit === 0) throw error;
        return null;
      } finally {
        await server?.close();
      }
      const image = await readLayoutImage(output);
      rmSync(output, { recursive: true });
      return image;
    },
    close: () => stopDaemon(daemon),
  };
}

/** No stage of a case is called so. */
const baseName = 'base-of-the-cases';

const uncompressed = 'compression=uncompressed,force-compression=true';

async function startDaemon(home: string, address: string): Promise<ChildProcess> {
  const worker = ['--oci-worker-net=host', '--oci-worker-snapshotter=overlayfs', '--oci-worker-gc=false'];
  const allowed = ['network.host', 'security.insecure'].map((name) => `--allow-insecure-entitlement=${name}`);
  const words = ['--addr', address, '--root', join(home, 'root'), ...worker, ...allowed];
  const daemon = spawn('buildkitd', words, { stdio: 'ignore' });
  for (let tries = 0; tries < 200; tries++) {
    const ready = await promisify(execFile)('buildctl', ['--addr', address, 'debug', 'workers']).then(
      () => true,
      () => false,
    );
    if (ready) return daemon;
    if (daemon.exitCode !== null) break;
    await sleep(50);
  }
  daemon.kill();
  throw new Error('buildkitd does not start');
}

async function stopDaemon(daemon: ChildProcess): Promise<void> {
  const ended = new Promise((done) => daemon.once('exit', done));
  daemon.kill();
  await ended;
}

/** Our words as buildctl's. @throws for those that it has no word for */
function translate(
  dir: string,
  words: readonly string[],
  env: Readonly<Record<string, string>>,
): { options: string[]; file: string; context: string } {
  const options: string[] = [];
  let file = 'Buildfile';
  let context = 'context';
  const limits: string[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    if (!word.startsWith('-')) {
      context = word;
      continue;
    }
    const equals = word.startsWith('--') ? word.indexOf('=') : -1;
    const flag = equals < 0 ? word : word.slice(0, equals);
    const value = (): string => (equals < 0 ? words[++i]! : word.slice(equals + 1));
    if (flag === '-f') file = value();
    else if (flag === '-t') value();
    else if (flag === '--ulimit') limits.push(value());
    else if (flag === '--build-arg') options.push(...buildArgument(value(), env));
    else options.push(...translateFlag(dir, flag, value));
  }
  const joined = limits.length === 0 ? [] : [`--opt=ulimit=${limits.join()}`];
  return { options: [...options, ...joined], file, context };
}

/** buildctl doesn't look at the environment for a name without a value. */
function buildArgument(text: string, env: Readonly<Record<string, string>>): string[] {
  if (text.includes('=')) return [`--opt=build-arg:${text}`];
  return env[text] === undefined ? [] : [`--opt=build-arg:${text}=${env[text]}`];
}

function translateFlag(dir: string, flag: string, value: () => string): string[] {
  switch (flag) {
    case '--label':
      return [`--opt=${flag.slice(2)}:${value()}`];
    case '--target':
    case '--platform':
      return [`--opt=${flag.slice(2)}=${value()}`];
    case '--no-cache':
      return ['--no-cache'];
    case '--no-cache-filter':
      return [`--opt=no-cache=${value()}`];
    case '--shm-size':
      return [`--opt=shm-size=${value().replace(/m$/, '000000')}`];
    case '--add-host':
      return [`--opt=add-hosts=${value().replace(':', '=')}`];
    case '--network':
      return [`--opt=force-network-mode=${value()}`];
    case '--secret':
    case '--ssh':
    case '--allow':
      return [`${flag}=${value()}`];
    case '--build-context': {
      const [name = '', source = ''] = splitOnce(value(), '=');
      if (isUrl(source) || source === 'docker-image://scratch') return [`--opt=context:${name}=${source}`];
      if (/^[\w-]+:/.test(source)) throw new Error(`no words for the context ${source}`);
      return [`--local=${name}=${resolve(dir, source)}`, `--opt=context:${name}=local:${name}`];
    }
    default:
      throw new Error(`no words for ${flag}`);
  }
}

function isUrl(text: string): boolean {
  return /^https?:/.test(text);
}

function splitOnce(text: string, at: string): string[] {
  const place = text.indexOf(at);
  return place < 0 ? [text] : [text.slice(0, place), text.slice(place + 1)];
}

function replaceBase(path: string, name: string): void {
  const text = readFileSync(path, 'latin1');
  writeFileSync(path, text.replaceAll(new RegExp(`${name}(?![,\\w])`, 'g'), baseName), 'latin1');
}

/** All that must be the same: the config, the history above the base, and the tree but for times that are the build's. */
export function wholeImage(image: ImageFiles | null): unknown {
  if (image === null) return null;
  const { created: _created, history: _history, rootfs: _rootfs, ...config } = image.config;
  const files = [...image.tree].filter(([path]) => path !== '/.').sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    config,
    history: ownHistory(image),
    tree: Object.fromEntries(files.map(([path, file]) => [path, fileLine(file)])),
  };
}

interface History {
  readonly created_by: string;
  readonly comment?: string;
  readonly empty_layer?: boolean;
}

/** BuildKit keeps layers with nothing in them, as those of `RUN true`; here that is said of the step, and no layer made. */
function ownHistory({ config, members }: ImageFiles): unknown[] {
  let layer = 0;
  const lines = ((config.history ?? []) as readonly History[]).map(({ created_by, comment, empty_layer = false }) => {
    const filled = !empty_layer && members[layer++]?.length !== 0;
    return `${created_by.replaceAll(/127\.0\.0\.1:\d+/g, 'SERVER')} (${comment}${filled ? ', a layer' : ''})`;
  });
  return lines.slice(lines.findLastIndex((line) => line.startsWith('FROM ')) + 1);
}
