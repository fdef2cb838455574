// Reading many files for their digests, as fast as disk and processors allow.
import { statSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { basename, dirname } from 'node:path';
import { hashFiles, rawPath } from '#native';

export interface ReadProgress {
  readonly doneBytes: number;
  readonly totalBytes: number;
}

export interface FileToRead {
  readonly path: string;
  /** With its digest, or why it can't be read; 'gone' where there is no such file (any more). */
  readonly done: (digest: string | 'gone', trouble: string | null) => void | Promise<void>;
}

/** Calls each file's `done` with the SHA-256 of its bytes. */
export async function readFiles(
  files: readonly FileToRead[],
  onProgress: (progress: ReadProgress) => void,
): Promise<void> {
  const sizes = files.map(({ path }) => statSync(path, { throwIfNoEntry: false })?.size ?? 0);
  const totalBytes = sizes.reduce((sum, size) => sum + size, 0);
  let doneBytes = 0;
  let next = 0;
  const reader = async (): Promise<void> => {
    while (next < files.length) {
      const i = next++;
      const { path, done } = files[i]!;
      const { digest, trouble } = await digestOf(path);
      await done(digest, trouble);
      doneBytes += sizes[i]!;
      onProgress({ doneBytes, totalBytes });
    }
  };
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), files.length) }, reader));
}

/** SHA-256 (hex) of a file; 'gone' where there is none. */
export async function digestOf(path: string): Promise<{ readonly digest: string; readonly trouble: string | null }> {
  try {
    const [digest] = await hashFiles([{ root: dirname(path), path: rawPath(basename(path)) }]);
    return { digest: digest!, trouble: null };
  } catch (error) {
    if (statSync(path, { throwIfNoEntry: false }) === undefined) return { digest: 'gone', trouble: null };
    return { digest: '', trouble: (error as Error).message };
  }
}
