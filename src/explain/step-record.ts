import { createHash } from 'node:crypto';
import type { CopyVertex, Vertex } from '../graph/index.js';
import type { KeyParts } from '../solver/index.js';
import type { Sayings } from './types.js';

/** What is kept of a step's key. */
export function stepRecord(parts: KeyParts): KeyParts {
  const { does } = parts;
  if (does.kind !== 'run') return parts;
  return { ...parts, does: { ...does, env: does.env.map(([name, value]) => [name, kept(name, value)]) } };
}

/** What is kept of its instruction besides. */
export function sayings(vertex: Vertex): Sayings {
  if (vertex.kind === 'run' && vertex.argNames.length > 0) return { argNames: vertex.argNames };
  return vertex.kind === 'copy' ? { says: saidBy(vertex) } : {};
}

/** A variable that holds a secret, by its name: as the build check SecretsUsedInArgOrEnv finds them. */
export function soundsSecret(name: string): boolean {
  return secretName.test(name) && !/public/i.test(name);
}

const secretName = /(?:^|_)(?:apikey|auth|credentials?|key|password|passwd|pword|secret|token)(?:_|$)/i;

/** Only whether it changed is of interest then. */
function kept(name: string, value: string): string {
  return soundsSecret(name) ? createHash('sha256').update(`${name}=${value}`).digest('hex').slice(0, 16) : value;
}

function saidBy({ sources, inline, dest, chown, chmod, exclude, parents, link }: CopyVertex): Record<string, string> {
  const flags = { '--chown': chown ?? '', '--chmod': chmod ?? '', '--exclude': exclude.join(' ') };
  return {
    source: [...sources.map(({ pattern }) => pattern), ...inline.map(({ name }) => `<<${name}`)].join(' '),
    destination: dest,
    ...Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== '')),
    ...(parents ? { '--parents': 'true' } : {}),
    ...(link ? { '--link': 'true' } : {}),
  };
}
