// Numbers of errno(3) in words.
import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** 'ENOSPC' for 28. libuv's table lacks some, such as ENOEXEC and EDQUOT. */
export function errnoName(errno: number): string {
  const found = Object.entries(constants.errno).find(([, value]) => value === errno);
  return found?.[0] ?? `errno ${errno}`;
}

export function errnoText(errno: number): string {
  return getSystemErrorMap().get(-errno)?.[1] ?? errnoName(errno);
}
