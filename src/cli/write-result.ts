// Files that tell a caller about what was done.
import { writeFileSync } from 'node:fs';
import { BuildError } from '../base/index.js';

const files = {
  '--iidfile': { code: 'IIDFILE_UNWRITABLE', done: 'built', what: 'digest' },
  '--metadata-file': { code: 'METADATA_FILE_UNWRITABLE', done: 'built', what: 'metadata' },
  '--digestfile': { code: 'DIGESTFILE_UNWRITABLE', done: 'sent', what: 'digest' },
} as const;

/** @throws BuildError IIDFILE_UNWRITABLE, METADATA_FILE_UNWRITABLE, DIGESTFILE_UNWRITABLE */
export function writeResult(option: keyof typeof files, file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (cause) {
    const { code, done, what } = files[option];
    throw new BuildError(code, {
      message: `the image was ${done}, but its ${what} can't be written to ${file}: ${(cause as Error).message}`,
      hint: `check ${option}`,
      cause,
    });
  }
}
