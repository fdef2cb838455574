// Paths of requests → what they are about. Pure.
import { RequestError } from './errors.js';

export type Route =
  | { readonly kind: 'base' | 'catalog' | 'health' | 'metrics' | 'token' }
  | { readonly kind: 'tags' | 'uploads'; readonly name: string }
  | { readonly kind: 'manifest' | 'blob' | 'upload' | 'referrers'; readonly name: string; readonly reference: string };

const fixed: Readonly<Record<string, Route>> = {
  '/v2': { kind: 'base' },
  '/v2/': { kind: 'base' },
  '/v2/_catalog': { kind: 'catalog' },
  '/healthz': { kind: 'health' },
  '/metrics': { kind: 'metrics' },
  '/token': { kind: 'token' },
};

// The last words of a path decide: a repository may be called 'blobs' or 'a/manifests/b'.
const patterns: readonly [RegExp, 'manifest' | 'blob' | 'upload' | 'referrers' | 'tags' | 'uploads'][] = [
  [/^\/v2\/(.+)\/tags\/list$/, 'tags'],
  [/^\/v2\/(.+)\/blobs\/uploads\/?$/, 'uploads'],
  [/^\/v2\/(.+)\/blobs\/uploads\/([^/]+)$/, 'upload'],
  [/^\/v2\/(.+)\/blobs\/([^/]+)$/, 'blob'],
  [/^\/v2\/(.+)\/manifests\/([^/]+)$/, 'manifest'],
  [/^\/v2\/(.+)\/referrers\/([^/]+)$/, 'referrers'],
];

/** Null where nothing lies. @throws RequestError NAME_INVALID for a path that can't be decoded */
export function routeOf(path: string): Route | null {
  if (Object.hasOwn(fixed, path)) return fixed[path]!;
  for (const [pattern, kind] of patterns) {
    const match = pattern.exec(path);
    if (match === null) continue;
    const name = decoded(match[1]!);
    if (kind === 'tags' || kind === 'uploads') return { kind, name };
    return { kind, name, reference: decoded(match[2]!) };
  }
  return null;
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RequestError(400, 'NAME_INVALID', 'the path is not validly percent-encoded');
  }
}
