import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { BuildError, type IgnoreMatcher, ignoreMatcher } from '../base/index.js';

export interface IgnoreFile {
  /** As messages call it. */
  readonly name: string;
  readonly matcher: IgnoreMatcher;
}

/**
 * The ignore file of a context: `<Buildfile>.dockerignore` beside the Buildfile (even when it is empty), else
 * `.dockerignore`, else `.containerignore` at the context's top. Null if there is none.
 *
 * @param contextDir null: only the one beside the Buildfile counts
 * @param buildfile path of the Buildfile; null where it is no file, and for named contexts
 * @throws BuildError IGNORE_INVALID, CONTEXT_UNREADABLE
 */
export function findIgnoreFile(contextDir: string | null, buildfile: string | null): IgnoreFile | null {
  const own = buildfile === null ? [] : [join(dirname(buildfile), `${basename(buildfile)}.dockerignore`)];
  const context =
    contextDir === null ? [] : ['.dockerignore', '.containerignore'].map((name) => join(contextDir, name));
  for (const path of [...own, ...context]) {
    const text = readIfThere(path);
    if (text !== null) return { name: basename(path), matcher: ignoreMatcher(text, basename(path)) };
  }
  return null;
}

function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new BuildError('CONTEXT_UNREADABLE', {
      message: `can't read the ignore file ${path}: ${(error as Error).message}`,
      cause: error,
    });
  }
}
