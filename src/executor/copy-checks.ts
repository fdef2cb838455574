// What COPY and ADD refuse to put into a layer.
import { displayPath, type RawPath } from '#native';
import { BuildError, type Span } from '../base/index.js';
import { kindOf, type Seen, shown } from './copy-destination.js';
import { baseName } from './copy-links.js';
import type { SourceEntry } from './copy-source.js';

/**
 * A directory may become one with a directory, anything else may replace anything but a directory.
 * @throws BuildError COPY_CONFLICT
 */
export function requireFit(entry: SourceEntry, path: RawPath, there: Seen | null, at: Span): void {
  if (there === null || (entry.type === 'dir') === (there.type === 'dir')) return;
  throw new BuildError('COPY_CONFLICT', {
    message: `can't put the ${kindOf(entry.type)} ${displayPath(entry.path)} at ${shown(path)}: the image has a ${kindOf(there.type)} there`,
    hint: 'choose another destination, or remove it in an earlier RUN',
    at,
  });
}

/** @throws BuildError COPY_RESERVED_NAME, COPY_UNSUPPORTED_FILE */
export function requireStorable(
  entry: Pick<SourceEntry, 'path' | 'type' | 'devMajor' | 'devMinor'>,
  path: RawPath,
  at: Span,
): void {
  // Image layers say "this file is removed" by such names. @see OCI image-spec v1.1, layer.md "Whiteouts"
  if (baseName(path).startsWith('.wh.')) {
    throw new BuildError('COPY_RESERVED_NAME', {
      message: `${displayPath(entry.path)} can't be part of an image: names that start with .wh. mean removed files there`,
      hint: 'rename the file, or exclude it',
      at,
    });
  }
  // overlayfs says the same by such devices.
  if (entry.type === 'char' && entry.devMajor === 0 && entry.devMinor === 0) throw unsupportedFile(entry, at);
}

function unsupportedFile(entry: Pick<SourceEntry, 'path' | 'type'>, at: Span): BuildError {
  return new BuildError('COPY_UNSUPPORTED_FILE', {
    message: `${displayPath(entry.path)} is a ${kindOf(entry.type)} that no image layer can hold`,
    hint: 'exclude it',
    at,
  });
}
