// Files that tell a caller about a finished build.
import { writeFileSync } from 'node:fs';
import { BuildError } from '../base/index.js';

/** @throws BuildError IIDFILE_UNWRITABLE, METADATA_FILE_UNWRITABLE */
export function writeResult(option: '--iidfile' | '--metadata-file', file: string, text: string): void {
  try {
    writeFileSync(file, text);
  } catch (cause) {
    const what = option === '--iidfile' ? 'its digest' : 'its metadata';
    throw new BuildError(option === '--iidfile' ? 'IIDFILE_UNWRITABLE' : 'METADATA_FILE_UNWRITABLE', {
      message: `the image was built, but ${what} can't be written to ${file}: ${(cause as Error).message}`,
      hint: `check ${option}`,
      cause,
    });
  }
}
