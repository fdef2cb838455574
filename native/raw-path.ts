// Paths as the kernel knows them: bytes, not text. A RawPath is a string with one character (U+0000–U+00FF) a byte, so
// that names which are no valid UTF-8 survive, and so that comparing two of them is comparing their bytes.

declare const rawPathBrand: unique symbol;

/** A relative path ('usr/bin/env', '' for the root itself), one character a byte; no leading or trailing slash. */
export type RawPath = string & { readonly [rawPathBrand]: true };

/** The bytes of `text` (UTF-8) as a raw path. Does not normalise. */
export function rawPath(text: string): RawPath {
  return (isAscii(text) ? text : Buffer.from(text, 'utf8').toString('latin1')) as RawPath;
}

/** A raw path for people: decoded as UTF-8, what can't be decoded shown as U+FFFD. */
export function displayPath(path: RawPath): string {
  return isAscii(path) ? path : Buffer.from(path, 'latin1').toString('utf8');
}

/** The bytes of a raw path, for system calls and headers. */
export function pathBytes(path: RawPath): Buffer {
  return Buffer.from(path, 'latin1');
}

function isAscii(text: string): boolean {
  for (let i = 0; i < text.length; i++) if (text.charCodeAt(i) > 0x7f) return false;
  return true;
}
