// A Debian base, made from packages by mmdebstrap; its tar goes straight into the store.
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { importLayer, type Layer, type Lease, type Platform, putImage, type Store, type StoredImage } from '#store';
import { BuildError, type Span } from '../base/index.js';
import { formatPlatform, hostPlatform, normalPlatform, recordLayer } from '../platform/index.js';
import { aptMirrors } from './apt-sources.js';
import { baseConfig } from './base-config.js';
import type { OnSourceProgress } from './progress.js';
import { newestFileSec } from './rootfs.js';

export interface DebianOptions {
  /** 'bookworm', 'stable', 'sid'. */
  readonly suite: string;
  /** Which packages: 'minbase' unless given, or 'essential', 'apt', 'buildd', 'standard', … */
  readonly variant?: string | undefined;
  /** URL of an archive; unless given, as this machine's apt is set up, else the public one. */
  readonly mirror?: string | undefined;
  /** Further packages. */
  readonly include?: readonly string[] | undefined;
  /** This machine's unless given. Another one needs an emulator here, or variant 'extract', which runs nothing. */
  readonly platform?: Platform | undefined;
  readonly onProgress?: OnSourceProgress | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly at?: Span | undefined;
}

/**
 * @throws BuildError DEBIAN_OPTION_INVALID; DEBIAN_TOOL_MISSING; DEBIAN_FAILED with mmdebstrap's last lines; whatever is
 *   thrown, the store reads as it did before
 */
export async function importDebian(store: Store, lease: Lease, options: DebianOptions): Promise<StoredImage> {
  const layer = await runMmdebstrap(options, (tar) => importLayer(store, lease, tar));
  recordLayer(layer);
  const config = baseConfig({
    layer,
    platform: options.platform ?? hostPlatform(),
    createdBy: `mmdebstrap ${options.suite} (${[options.variant ?? 'minbase', ...(options.include ?? [])].join(', ')})`,
    createdSec: newestFileSec(layer),
    config: { Cmd: ['bash'] },
  });
  return putImage(store, lease, { config });
}

async function runMmdebstrap(options: DebianOptions, receive: (tar: Readable) => Promise<Layer>): Promise<Layer> {
  const { signal, onProgress } = options;
  const tool = spawn('mmdebstrap', mmdebstrapArguments(options), {
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(signal && { signal }),
  });
  const lines: string[] = [];
  followLines(tool.stderr, (line) => {
    lines.push(line);
    if (lines.length > keptLines) lines.shift();
    report(line, onProgress);
  });
  let gaveUp = false;
  const ended = new Promise<void>((resolve, reject) => {
    tool.on('error', (error: NodeJS.ErrnoException) => reject(error.code === 'ENOENT' ? toolMissing(options) : error));
    tool.on('close', (code) => (code === 0 || gaveUp ? resolve() : reject(failed(options, lines))));
  });
  const received = receive(tool.stdout).catch((error) => {
    // A tar that breaks off is how the tool's failure looks from here: its own words are the better ones.
    gaveUp = !tool.stdout.readableEnded;
    tool.kill();
    throw error;
  });
  const [end, layer] = await Promise.allSettled([ended, received]);
  signal?.throwIfAborted();
  if (end.status === 'rejected') throw end.reason;
  if (layer.status === 'rejected') throw layer.reason;
  return layer.value;
}

function mmdebstrapArguments(options: DebianOptions): string[] {
  const { suite, variant = 'minbase', mirror, include = [] } = options;
  requireWord('suite', suite, /^[a-z][a-z0-9.-]*$/, options);
  requireWord('variant', variant, /^[a-z]+$/, options);
  for (const name of include) requireWord('package', name, /^[a-z0-9][a-z0-9+.:=~-]*$/, options);
  if (mirror !== undefined) requireWord('mirror', mirror, /^(https?|file|copy):\S+$/, options);
  const mirrors = mirror === undefined ? aptMirrors(suite) : [mirror];
  const hooks = existsSync(mergedUsrHooks) && variant !== 'extract' ? [`--hook-dir=${mergedUsrHooks}`] : [];
  return [
    `--mode=${process.getuid?.() === 0 ? 'root' : 'unshare'}`,
    `--variant=${variant}`,
    '--format=tar',
    ...(options.platform ? [`--architectures=${debianArchitecture(options.platform, options.at)}`] : []),
    ...hooks,
    ...(include.length > 0 ? [`--include=${include.join(',')}`] : []),
    suite,
    '-',
    ...mirrors,
  ];
}

function debianArchitecture(platform: Platform, at: Span | undefined): string {
  const { os, architecture, variant } = normalPlatform(platform);
  const arm = variant === 'v7' || variant === 'v8' ? 'armhf' : 'armel';
  const name = architecture === 'arm' ? arm : debianArchitectures[architecture];
  if (os === 'linux' && name !== undefined) return name;
  throw new BuildError('DEBIAN_OPTION_INVALID', {
    message: `Debian has no port for ${formatPlatform(platform)}`,
    hint: 'build for linux/amd64, linux/arm64 or another of its ports',
    at,
  });
}

const debianArchitectures: Partial<Record<string, string>> = {
  amd64: 'amd64',
  arm64: 'arm64',
  '386': 'i386',
  ppc64le: 'ppc64el',
  mips64le: 'mips64el',
  riscv64: 'riscv64',
  s390x: 's390x',
};

/** Debian's own images have the merged /usr from the start; without this it is made afterwards, by Perl. */
const mergedUsrHooks = '/usr/share/mmdebstrap/hooks/maybe-merged-usr';
const keptLines = 40;

function requireWord(what: string, text: string, pattern: RegExp, options: DebianOptions): void {
  if (pattern.test(text)) return;
  throw new BuildError('DEBIAN_OPTION_INVALID', {
    message: `not a Debian ${what}: ${JSON.stringify(text)}`,
    hint: what === 'suite' ? 'name a release, such as bookworm or stable' : undefined,
    at: options.at,
  });
}

/** Lines end with \n or, where a progress is redrawn, \r. */
function followLines(stream: NodeJS.ReadableStream, onLine: (line: string) => void): void {
  let rest = '';
  stream.setEncoding('utf8');
  stream.on('data', (chunk: string) => {
    const lines = (rest + chunk).split(/[\r\n]+/);
    rest = lines.pop() ?? '';
    for (const line of lines) if (line !== '') onLine(line);
  });
  stream.on('end', () => rest !== '' && onLine(rest));
}

function report(line: string, onProgress: OnSourceProgress | undefined): void {
  const stage = stages.find(([words]) => line.startsWith(`I: ${words}`));
  if (stage) onProgress?.({ what: stage[0], done: stage[1], total: 100 });
}

/** mmdebstrap's stages and how much of the time has passed when each begins, as measured for minbase. */
const stages: readonly (readonly [words: string, percent: number])[] = [
  ['running apt-get update', 5],
  ['downloading packages', 20],
  ['extracting archives', 35],
  ['installing essential packages', 45],
  ['installing remaining packages', 75],
  ['cleaning package lists', 90],
  ['creating tarball', 95],
  ['success', 100],
];

function toolMissing({ suite, at }: DebianOptions): BuildError {
  return new BuildError('DEBIAN_TOOL_MISSING', {
    message: `making a base of Debian ${suite} needs mmdebstrap, which this machine does not have`,
    hint: 'install it (apt install mmdebstrap), or use a base from a registry or host://',
    at,
  });
}

function failed({ suite, at }: DebianOptions, lines: readonly string[]): BuildError {
  const errors = lines.filter((line) => /^(E|W|Err)[: ]/.test(line) && !/mmdebstrap failed to run/.test(line));
  const unknown = lines.some((line) => /does not have a Release file|is not signed|404 +Not Found/.test(line));
  return new BuildError('DEBIAN_FAILED', {
    message: `mmdebstrap could not make Debian ${suite}${errors[0] ? `: ${errors[0].replace(/^(E|W): /, '')}` : ''}`,
    notes: ['its last lines:', ...lines.slice(-10).map((line) => `  ${line}`)],
    hint: unknown ? `is ${suite} a release of that archive?` : undefined,
    at,
  });
}
