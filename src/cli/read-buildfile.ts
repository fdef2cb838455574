// Finds and reads the Buildfile: the one that -f names, or the first of the usual names in the context.
import { readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { BuildError, type SourceFile } from '../base/index.js';
import { buildfileNames } from '../context/index.js';
import { whyUnreadable } from './build-values.js';

/** @throws BuildError BUILDFILE_NOT_FOUND, BUILDFILE_NOT_TEXT, BUILDFILE_UNREADABLE */
export function readBuildfile(
  file: string | undefined,
  contextDir: string,
): { source: SourceFile; path: string | null } {
  if (file === '-') return { source: { name: '<stdin>', text: readFileSync(0, 'utf8') }, path: null };
  const candidates = file === undefined ? buildfileNames.map((name) => join(contextDir, name)) : [file];
  for (const path of candidates) {
    const found = tryRead(path);
    if (found?.includes('\0')) throw noText(path);
    if (found !== null) return { source: { name: relative('.', path) || basename(path), text: found }, path };
  }
  throw new BuildError('BUILDFILE_NOT_FOUND', {
    message:
      file === undefined
        ? `${contextDir} holds no ${buildfileNames.slice(0, 2).join(' or ')}`
        : `there is no Buildfile ${file}`,
    hint:
      file === undefined
        ? 'write one, or name it with -f'
        : 'check the path given with -f; it is relative to the current directory',
  });
}

function noText(path: string): BuildError {
  return new BuildError('BUILDFILE_NOT_TEXT', {
    message: `${path} is no text: it contains NUL bytes`,
    hint: 'give the Buildfile with -f, and the context as the last argument',
  });
}

function tryRead(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ENOTDIR') return null;
    throw new BuildError('BUILDFILE_UNREADABLE', {
      message: `${path} can't be read: ${whyUnreadable(error)}`,
      hint: code === 'EACCES' ? 'check its permissions and those of the directories above it' : 'give a file with -f',
    });
  }
}
