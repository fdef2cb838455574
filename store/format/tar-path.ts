// Names of tar members → paths inside the layer. Names come from strangers: nothing leaves this file that could point elsewhere.
import { displayPath, type RawPath } from '#native';
import { StoreError } from '../errors.js';

/** Linux limits; a name beyond them could not be created by any tool that unpacks the layer. */
const maxNameBytes = 255;
const maxPathBytes = 4095;

/**
 * './usr//bin/' is 'usr/bin', '/' is ''. A '..' that stays inside is resolved by its text, as the field does.
 *
 * @throws StoreError TAR_PATH_ESCAPES, TAR_PATH_INVALID
 */
export function cleanPath(name: string, offset: number): RawPath {
  if (isClean(name)) return name as RawPath;
  return cleanSlowly(name, offset);
}

/** The common case in one pass: no empty, '.' or '..' component, no component or path too long, no NUL. */
function isClean(name: string): boolean {
  const length = name.length;
  if (length === 0 || length > maxPathBytes) return false;
  let start = 0;
  for (let i = 0; i <= length; i++) {
    const code = i === length ? 0x2f : name.charCodeAt(i);
    if (code === 0) return false;
    if (code !== 0x2f) continue;
    const size = i - start;
    if (size === 0 || size > maxNameBytes) return false;
    if (name.charCodeAt(start) === 0x2e && (size === 1 || (size === 2 && name.charCodeAt(start + 1) === 0x2e))) {
      return false;
    }
    start = i + 1;
  }
  return true;
}

function cleanSlowly(name: string, offset: number): RawPath {
  if (name === '') throw invalid('a member without a name', offset);
  if (name.includes('\0')) throw invalid(`a NUL byte in the name ${quote(name)}`, offset);
  const kept: string[] = [];
  for (const part of name.split('/')) {
    if (part === '' || part === '.') continue;
    if (part === '..') {
      if (kept.pop() === undefined) throw escapes(name, offset);
    } else {
      if (part.length > maxNameBytes) throw invalid(`a file name of ${part.length} bytes: ${quote(part)}`, offset);
      kept.push(part);
    }
  }
  const path = kept.join('/');
  if (path.length > maxPathBytes) throw invalid(`a path of ${path.length} bytes: ${quote(path)}`, offset);
  return path as RawPath;
}

/** A symlink's text, which may point anywhere: it is only ever resolved inside a root. @throws StoreError TAR_LINK_INVALID */
export function checkLinkText(target: string, path: RawPath, offset: number): RawPath {
  if (target === '' || target.length > maxPathBytes || target.includes('\0')) {
    throw new StoreError('TAR_LINK_INVALID', {
      message: `the symlink ${quote(path)} (header at byte ${offset}) has an impossible target`,
      hint: 'a symlink target has 1 to 4095 bytes and no NUL',
    });
  }
  return target as RawPath;
}

/** For messages: short, and what is no text is shown as such. */
export function quote(name: string): string {
  const shown = name.length > 200 ? `${name.slice(0, 200)}…` : name;
  return JSON.stringify(displayPath(shown as RawPath));
}

function invalid(what: string, offset: number): StoreError {
  return new StoreError('TAR_PATH_INVALID', {
    message: `the tar has ${what} (header at byte ${offset})`,
    hint: 'Linux could not create such a file; the layer is damaged or was made to harm',
  });
}

function escapes(name: string, offset: number): StoreError {
  return new StoreError('TAR_PATH_ESCAPES', {
    message: `the tar member ${quote(name)} (header at byte ${offset}) points outside the layer`,
    hint: 'do not use this layer; whoever made it should be asked why',
  });
}
