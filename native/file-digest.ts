// SHA-256 of a file while it is written, on a worker thread.
import { getSystemErrorName } from 'node:util';
import { SystemError } from './errors.js';
import { openLibrary } from './library.js';

export interface FileDigest {
  /** Digests what the file has between the end of the last part and `end`. One part at a time. @throws SystemError READ_FAILED */
  takeTo(end: number): Promise<void>;
  /** The digest in hexadecimal of all that was taken; the last call. */
  close(): string;
}

/** @param start where in the file the digested bytes begin */
export async function openFileDigest(fd: number, start: number): Promise<FileDigest> {
  const { open, take, close } = await functions();
  const digest = open();
  if (digest === null) throw new SystemError('OUT_OF_MEMORY', { message: 'not enough memory to digest a file' });
  let taken = start;
  return {
    async takeTo(end) {
      const from = taken;
      taken = end;
      const errno = await new Promise<number>((resolve, reject) => {
        take.async(digest, fd, from, end, (error: Error | null, code: number) =>
          error ? reject(error) : resolve(code),
        );
      });
      if (errno === 0) return;
      const name = getSystemErrorName(-errno);
      throw new SystemError('READ_FAILED', { message: `could not read back what was written: ${name}`, errno: name });
    },
    close() {
      const result = Buffer.alloc(32);
      close(digest, result);
      return result.toString('hex');
    },
  };
}

interface Functions {
  open(): unknown;
  readonly take: { async(...args: unknown[]): void };
  close(digest: unknown, result: Buffer): void;
}

let declared: Promise<Functions> | undefined;

function functions(): Promise<Functions> {
  declared ??= openLibrary().then(({ func }) => ({
    open: func('void *tsb_digest_open()'),
    take: func('int tsb_digest_take(void *digest, int fd, double from, double to)'),
    close: func('void tsb_digest_close(void *digest, uint8_t *result)'),
  }));
  return declared;
}
