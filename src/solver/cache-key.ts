// What a vertex's result depends on, as one digest. Pure, and the same in a browser: hence @noble/hashes.
import { sha256 } from '@noble/hashes/sha2.js';
import { bytesToHex, utf8ToBytes } from '@noble/hashes/utils.js';
import type { DiffId, Platform } from '#store';
import type { CopyVertex, MkdirVertex, RunMount, RunVertex, StepSandbox } from '../graph/index.js';
import { stackDigest } from './stack-digest.js';

/** Raised whenever the meaning of a key changes: no record made under other rules is ever used. */
const keyVersion = 3;

/** Digests of what a vertex reads besides its parent, by name: 'content' of a COPY, '/src' for what is mounted there. */
export type KeyInputs = Readonly<Record<string, string>>;

/** All that a key is made of. */
export interface KeyParts {
  readonly keyVersion: number;
  readonly platform: Platform;
  /** Digest of the layers that the step begins with; null where they have no part in its result. */
  readonly stack: string | null;
  readonly does: StepDefinition;
  readonly inputs: KeyInputs;
}

/** What a step does, without places in the Buildfile and without values that must not matter. */
export type StepDefinition =
  | ({ readonly kind: 'run'; readonly mounts: readonly object[]; readonly sandbox: object } & Pick<
      RunVertex,
      'args' | 'script' | 'env' | 'cwd' | 'user' | 'network' | 'security'
    >)
  | { readonly kind: 'copy'; readonly epoch?: number }
  | { readonly kind: 'mkdir'; readonly path: string; readonly user: string; readonly epoch?: number };

/**
 * What the result of one vertex depends on: what it does, the tree it does it to, and the content of what it reads.
 *
 * @param stack layers of the parent, base first
 * @param inputs digests of everything else it reads, by name
 */
export function keyParts(
  vertex: RunVertex | CopyVertex | MkdirVertex,
  stack: readonly DiffId[],
  inputs: KeyInputs,
): KeyParts {
  return {
    keyVersion,
    platform: vertex.platform,
    stack: vertex.kind === 'copy' && vertex.link ? null : stackDigest(stack), // with --link the files land in an empty tree
    does: definition(vertex),
    inputs,
  };
}

/** @returns 64 hex digits */
export function cacheKey(parts: KeyParts): string {
  return digestOf(parts);
}

function definition(vertex: RunVertex | CopyVertex | MkdirVertex): StepDefinition {
  switch (vertex.kind) {
    case 'run':
      return {
        kind: 'run',
        args: vertex.args,
        script: vertex.script,
        env: vertex.env,
        cwd: vertex.cwd,
        user: vertex.user,
        network: vertex.network,
        security: vertex.security,
        sandbox: sandboxDefinition(vertex.sandbox),
        mounts: vertex.mounts.map(mountDefinition),
      };
    case 'copy':
      return { kind: 'copy', ...epochOf(vertex) }; // where its files land, and as whose, is in the digest of its content
    case 'mkdir':
      return { kind: 'mkdir', path: vertex.path, user: vertex.user, ...epochOf(vertex) };
  }
}

/** As with BuildKit: the names count that a step can use, not where they lead. */
function sandboxDefinition({ extraHosts, ...sandbox }: StepSandbox): object {
  return { ...sandbox, extraHosts: extraHosts.map(({ name }) => name) };
}

/**
 * What a bind mount shows is among the inputs, wherever it comes from; which cache a step has at hand, and with whom it
 * shares it, changes nothing of what it does.
 */
function mountDefinition({ at: _, ...mount }: RunMount): object {
  switch (mount.kind) {
    case 'bind': {
      const { from: _from, source: _source, ...does } = mount;
      return does;
    }
    case 'cache': {
      const { id: _id, namespace: _namespace, sharing: _sharing, from: _from, source: _source, ...does } = mount;
      return does;
    }
    default:
      return mount;
  }
}

/** The one time that counts: it was asked for. */
function epochOf({ epochSec }: CopyVertex | MkdirVertex): { epoch?: number } {
  return epochSec === null ? {} : { epoch: epochSec };
}

function digestOf(value: unknown): string {
  return bytesToHex(sha256(utf8ToBytes(canonicalJson(value))));
}

/** JSON with sorted object keys, so that equal values have equal text. */
function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, member: unknown) =>
    member !== null && typeof member === 'object' && !Array.isArray(member)
      ? Object.fromEntries(Object.entries(member).sort(([a], [b]) => (a < b ? -1 : 1)))
      : member,
  );
}
