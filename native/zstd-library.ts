// The system's libzstd.
import type { LibraryHandle } from 'koffi';

export interface ZstdLibrary {
  readonly func: LibraryHandle['func'];
  /** What went wrong according to a size that a function returned, or null. */
  fault(code: number): Error | null;
}

/** Null where the host has none. */
export async function loadZstd(): Promise<ZstdLibrary | null> {
  const { default: koffi } = await import('koffi');
  let zstd: LibraryHandle;
  try {
    zstd = koffi.load('libzstd.so.1');
  } catch {
    return null;
  }
  const isError = zstd.func('uint32_t ZSTD_isError(size_t code)') as (code: number) => number;
  const errorName = zstd.func('const char *ZSTD_getErrorName(size_t code)') as (code: number) => string;
  return {
    func: zstd.func.bind(zstd),
    fault: (code) => (isError(code) === 0 ? null : new Error(errorName(code))),
  };
}
