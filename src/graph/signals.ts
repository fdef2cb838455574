import { constants } from 'node:os';

const realtime = /^RTMIN(?:\+([1-9]|1[0-5]))?$|^RTMAX(?:-([1-9]|1[0-4]))?$/;

/** True for what STOPSIGNAL may be: a name with or without SIG, in any case, or a number from 1 to 64. */
export function isSignal(text: string): boolean {
  if (/^\d+$/.test(text)) return Number(text) >= 1 && Number(text) <= 64;
  const name = text.toUpperCase().replace(/^SIG/, '');
  return Object.hasOwn(constants.signals, `SIG${name}`) || name === 'CLD' || realtime.test(name);
}

/** Names that a slip may have meant. */
export function signalNames(): string[] {
  return Object.keys(constants.signals);
}
