import { basename, dirname, join } from 'node:path';
import { type ContentRef, hashFiles, rawPath } from '#native';
import { isReadFailure, readFailure } from '../damage.js';
import { parseDiffId } from '../words.js';

/**
 * What to throw where reading `contents` failed. Native names a file without the directory that it is in, and the tars of all
 * layers have one name: which of them it was is found by reading them again.
 */
export async function sourceFailure(
  contents: Iterable<ContentRef | null | undefined>,
  error: unknown,
): Promise<unknown> {
  if (!isReadFailure(error)) return error;
  for (const root of layerDirs(contents)) {
    try {
      await hashFiles([{ root, path: rawPath('tar') }]);
    } catch (again) {
      if (isReadFailure(again)) return readFailure('layer', parseDiffId(`sha256:${basename(root)}`), error);
    }
  }
  return error;
}

function layerDirs(contents: Iterable<ContentRef | null | undefined>): Set<string> {
  const dirs = new Set<string>();
  for (const content of contents) {
    if (!content || !('root' in content) || content.path !== 'tar') continue;
    if (/^[0-9a-f]{64}$/.test(basename(content.root)) && dirname(content.root).endsWith(join('/layers', 'sha256')))
      dirs.add(content.root);
  }
  return dirs;
}
