// What the launcher says on its status descriptor; the records are described in launcher/status.h.
import { constants } from 'node:os';
import type { StepExit } from './types.js';

export interface LaunchFailure {
  /** 'OVERLAY' and the like: names of launcher/report.c. */
  readonly stage: string;
  readonly errno: number;
  readonly object: string;
  /** The kernel's own words, or ''. */
  readonly detail: string;
}

export interface LaunchStatus {
  /** The program was started: whatever happened later is its own doing. */
  readonly started: boolean;
  readonly exit: StepExit | undefined;
  readonly failure: LaunchFailure | undefined;
}

/** Reads all records of a launcher that ended; one cut short by its death is left out. */
export function decodeStatus(bytes: Buffer): LaunchStatus {
  let status: LaunchStatus = { started: false, exit: undefined, failure: undefined };
  for (let at = 0; at + 4 <= bytes.length; ) {
    const end = at + 4 + bytes.readUInt32LE(at);
    if (end > bytes.length) break;
    const [kind, ...fields] = bytes.toString('utf8', at + 4, end - 1).split('\0');
    if (kind === 'ready') status = { ...status, started: true };
    else if (kind === 'exit') status = { ...status, exit: decodeExit(fields) };
    else if (kind === 'failure') status = { ...status, failure: decodeFailure(fields) };
    at = end;
  }
  return status;
}

function decodeExit(fields: readonly string[]): StepExit {
  const [wait = 0, userUs = 0, systemUs = 0, maxRssKib = 0] = fields.map(Number);
  const signal = wait & 0x7f; // waitpid(2): signal below, exit status above
  return {
    exitCode: signal === 0 ? (wait >> 8) & 0xff : 128 + signal,
    signal: signal === 0 ? null : signalName(signal),
    userMs: userUs / 1000,
    systemMs: systemUs / 1000,
    maxRssBytes: maxRssKib * 1024,
  };
}

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `SIG${number}`;
}

function decodeFailure(fields: readonly string[]): LaunchFailure {
  const [stage = 'UNKNOWN', errno = '0', object = '', detail = ''] = fields;
  return { stage, errno: Number(errno), object, detail };
}
