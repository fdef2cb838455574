// What the options of build say of the container of its steps: --add-host, --allow, --cgroup-parent, --shm-size, --ulimit.
import { isIP } from 'node:net';
import { closest } from '../base/index.js';
import type { BuildRequest } from '../build/index.js';
import type { BuildOptions } from './build-options.js';
import { UsageError } from './cli.js';

type Sandbox = BuildRequest['sandbox'];

/** @throws UsageError */
export function sandbox({ addHost = [], ulimit = [], shmSize, cgroupParent }: BuildOptions): Sandbox {
  const limits = new Map(ulimit.map((text) => parseUlimit(text)).map((limit) => [limit.name, limit]));
  return {
    hostname: null,
    extraHosts: addHost.flatMap(parseHost),
    ulimits: [...limits.values()].sort((a, b) => (a.name < b.name ? -1 : 1)),
    shmSizeBytes: shmSize === undefined ? null : parseSize(shmSize),
    cgroupParent: cgroupParent ?? null,
  };
}

const entitlements = ['network.host', 'security.insecure'];

/** @throws UsageError */
export function allowed({ allow = [] }: BuildOptions): Set<string> {
  for (const name of allow) {
    if (entitlements.includes(name)) continue;
    const near = closest(name, entitlements);
    throw wrong('--allow', name, 'nothing of this name can be allowed', near ? `did you mean ${near}?` : allowForm);
  }
  return new Set(allow);
}

const allowForm = `it is ${entitlements.join(' or ')}`;

/** 'db:10.0.0.1', 'db=10.0.0.1', 'db=[::1]', 'host.docker.internal:host-gateway'; several addresses with commas. */
function parseHost(text: string): Sandbox['extraHosts'] {
  const at = text.includes('=') ? text.indexOf('=') : text.indexOf(':');
  const name = text.slice(0, Math.max(0, at));
  if (!/^[^\s#]+$/.test(name)) throw wrong('--add-host', text, 'there is no name', hostForm);
  return text
    .slice(at + 1)
    .split(',')
    .map((part) => ({ name, address: addressOf(part, text) }));
}

const hostForm = 'write --add-host NAME:ADDRESS, as in db:10.0.0.1, db:[::1] or host.docker.internal:host-gateway';

/** Steps are on the host's own network: its way to the host is the loopback interface. */
function addressOf(part: string, text: string): string {
  if (part === 'host-gateway') return '127.0.0.1';
  const address = part.replace(/^\[(.+)\]$/, '$1');
  if (isIP(address) !== 0) return address;
  throw wrong('--add-host', text, `${JSON.stringify(part)} is no address`, hostForm);
}

const limitNames = [
  'core',
  'cpu',
  'data',
  'fsize',
  'locks',
  'memlock',
  'msgqueue',
  'nice',
  'nofile',
  'nproc',
  'rss',
  'rtprio',
  'rttime',
  'sigpending',
  'stack',
];

/** 'nofile=1024' or 'nofile=1024:2048'; -1 and 'unlimited' are no limit. */
function parseUlimit(text: string): Sandbox['ulimits'][number] {
  const [, name = '', first = '', second] = /^([^=]*)=([^:]*)(?::(.*))?$/s.exec(text) ?? [];
  if (name === '') throw wrong('--ulimit', text, 'there is no name and number', limitForm);
  if (!limitNames.includes(name)) {
    const near = closest(name, limitNames);
    const hint = near ? `did you mean ${near}?` : `there are ${limitNames.join(', ')}`;
    throw wrong('--ulimit', text, `there is no limit ${JSON.stringify(name)}`, hint);
  }
  const soft = limitOf(first, text);
  const hard = second === undefined ? soft : limitOf(second, text);
  if (hard !== 'unlimited' && (soft === 'unlimited' || soft > hard)) {
    throw wrong('--ulimit', text, `the soft limit ${first} is above the hard limit ${second}`, limitForm);
  }
  return { name, soft, hard };
}

const limitForm = 'write --ulimit NAME=SOFT[:HARD], as in nofile=1024:4096; -1 is no limit';

function limitOf(number: string, text: string): number | 'unlimited' {
  if (number === '-1' || number === 'unlimited') return 'unlimited';
  const value = Number(number);
  if (/^\d+$/.test(number) && Number.isSafeInteger(value)) return value;
  throw wrong('--ulimit', text, `${JSON.stringify(number)} is no number`, limitForm);
}

/** As docker has sizes: a number and one of b, k, m, g, t. */
function parseSize(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([kmgtp]?)i?b?$/i.exec(text) ?? [];
  const bytes = Math.floor(Number(number) * 1024 ** ' kmgtp'.indexOf(unit.toLowerCase() || ' '));
  if (number !== '' && Number.isSafeInteger(bytes) && bytes > 0) return bytes;
  throw wrong('--shm-size', text, 'it is no size', 'write --shm-size SIZE, as in 64m or 1g');
}

function wrong(option: string, text: string, problem: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `${option} ${text}: ${problem}`, hint });
}
