// The same case built by another builder, Debian's buildah: where both agree, the expected values aren't just what our
// own code happens to do.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { copyCase, type Expectation, runShell } from './case-folder.js';
import { serverArgument, startFileServer } from './file-server.js';
import { type ImageFile, type ImageFiles, readDirImage, readLayoutImage } from './layer-files.js';
import { installed, type Person } from './tsbuild.js';

export interface Peer {
  /** Null: it refuses the case. */
  build(name: string, expected: Expectation): Promise<ImageFiles | null>;
}

/** Why nobody can be asked; null: they can. */
export function whyNoPeer(): string | null {
  return installed('buildah') ? null : 'buildah is not installed';
}

/** @param base what Buildfiles call it, and the tag under which `person` has it */
export async function openPeer(person: Person, base: { name: string; tag: string }): Promise<Peer> {
  const home = person.dir('buildah');
  const env = { PATH: process.env.PATH, HOME: home, TMPDIR: home };
  const storage = ['--root', join(home, 'root'), '--runroot', join(home, 'run'), '--storage-driver', 'overlay'];
  const buildah = async (cwd: string, words: readonly string[], more = {}): Promise<string> => {
    // With mounts of its own: it leaves some behind.
    const command = ['-m', 'buildah', ...storage, ...words];
    const running = promisify(execFile)('unshare', command, { cwd, env: { ...env, ...more } });
    running.child.stdin?.end();
    return (await running).stdout.trim();
  };

  const archive = join(home, 'base.tar');
  await person.run(['save', '--format', 'oci-archive', '-o', archive, base.tag]);
  await buildah(home, ['tag', await buildah(home, ['pull', '-q', `oci-archive:${archive}`]), 'localhost/base:1']);

  const bud = (dir: string, words: readonly string[], env = {}): Promise<string> => {
    for (const name of buildfiles(words)) replaceBase(join(dir, name), base.name);
    return buildah(dir, ['bud', '-q', ...limits, '--layers=false', '--format=docker', '--pull-never', ...words], env);
  };
  const blobs = join(home, 'blobs');
  mkdirSync(join(blobs, 'sha256'), { recursive: true });
  return {
    async build(name, expected) {
      const dir = copyCase(person, name);
      const out = person.dir('image');
      const transport = needsDockerFormat(dir) ? 'dir' : 'oci';
      if (transport === 'oci') symlinkSync(blobs, join(out, 'blobs')); // the base's layer is written once
      for (const command of expected.before ?? []) {
        if (typeof command === 'string') await runShell(person, command, dir);
        else await bud(dir, command, expected.env);
      }
      const server = existsSync(join(dir, 'served')) ? await startFileServer(join(dir, 'served')) : null;
      const words = ['-f', 'Buildfile', '-t', `${transport}:${out}`, ...(expected.args ?? [])];
      try {
        await bud(dir, [...words, ...serverArgument(server), expected.context ?? 'context'], expected.env);
      } catch (error) {
        if (expected.exit === 0) throw error;
        return null;
      } finally {
        await server?.close();
      }
      const image = await (transport === 'dir' ? readDirImage(out) : readLayoutImage(out));
      rmSync(out, { recursive: true });
      return image;
    },
  };
}

/** What it runs steps in; without limits of our choice it would try to raise those that it was started with. */
const limits = ['--isolation=chroot', '--ulimit=nofile=1024:4096', '--ulimit=nproc=1024:4096'];

function buildfiles(words: readonly string[]): string[] {
  return words.filter((_, i) => words[i - 1] === '-f');
}

/** OCI images have no place for what these instructions say. */
function needsDockerFormat(dir: string): boolean {
  return /^\s*(HEALTHCHECK|ONBUILD|SHELL)\b/im.test(readFileSync(join(dir, 'Buildfile'), 'latin1'));
}

/** It knows our bases by a name of its own only. */
function replaceBase(path: string, name: string): void {
  const text = readFileSync(path, 'latin1');
  writeFileSync(path, text.replaceAll(new RegExp(`${name}(?![,\\w])`, 'g'), 'localhost/base:1'), 'latin1');
}

/** What both must agree about: all of the tree but times, and what a container runs with. */
export function comparable(ours: ImageFiles | null, theirs: ImageFiles | null): { ours: unknown; theirs: unknown } {
  const notMade = leftBehind.filter((path) => !ours?.tree.has(path));
  return { ours: ours && told(ours, []), theirs: theirs && told(theirs, notMade) };
}

/** Mount points for its steps, which it leaves in the image. */
const leftBehind = [
  '/dev',
  '/etc',
  '/etc/hostname',
  '/etc/hosts',
  '/etc/resolv.conf',
  '/proc',
  '/run',
  '/run/.containerenv',
  '/run/secrets',
  '/sys',
];

function told({ config, tree }: ImageFiles, without: readonly string[]): unknown {
  const files = [...tree].filter(([path]) => !without.includes(path)).sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    config: runConfig((config.config ?? {}) as RunConfig),
    tree: Object.fromEntries(files.map(([path, file]) => [path, fileLine(file)])),
  };
}

export function fileLine({ type, mode, uid, gid, content, link, names }: ImageFile): string {
  // The field is free to say any mode of a symlink.
  const shown = [type, type === 'symlink' ? '' : mode, `${uid}:${gid}`, content ?? link ?? '', ...(names ?? [])];
  return shown.join(' ').trimEnd();
}

type RunConfig = Readonly<Record<string, unknown>>;

const compared = [
  'User',
  'ExposedPorts',
  'Env',
  'Entrypoint',
  'Cmd',
  'Volumes',
  'WorkingDir',
  'Labels',
  'StopSignal',
  'Healthcheck',
  'OnBuild',
  'Shell',
];

const defaultPath = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Without what one of the builders says and the other leaves to the default. */
function runConfig(config: RunConfig): RunConfig {
  const { 'io.buildah.version': _, ...labels } = (config.Labels ?? {}) as RunConfig;
  const env = ((config.Env ?? []) as string[]).filter((setting) => setting !== defaultPath);
  const plain: RunConfig = { ...config, WorkingDir: config.WorkingDir || '/', Labels: labels, Env: env };
  return Object.fromEntries(compared.filter((key) => !isEmpty(plain[key])).map((key) => [key, plain[key]]));
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === '' || Object.keys(value).length === 0;
}
