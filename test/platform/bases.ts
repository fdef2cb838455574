// Real files for other architectures, as their publishers made them. Most machines have none: tests that want them skip.
import { existsSync } from 'node:fs';
import { join } from 'node:path';

/** Directory with hello/, busybox/ and alpine/: TSBUILD_TEST_BASES, or shared/bases beside the checkout. */
export const basesDir: string | undefined = [
  process.env.TSBUILD_TEST_BASES,
  join(import.meta.dirname, '../../../shared/bases'),
].find((dir): dir is string => dir !== undefined && existsSync(join(dir, 'hello/hello-amd64')));
