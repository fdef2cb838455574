// --annotation: what the image's manifest says about it.

import type { Platform } from '#store';
import { closest } from '../base/index.js';
import { parsePlatform, samePlatform } from '../platform/index.js';
import { UsageError } from './cli.js';

const option = '--annotation';
const places = ['manifest', 'index', 'manifest-descriptor', 'index-descriptor'];
const prefix = /^([a-z-]+(?:\[[^\]]*\])?(?:,[a-z-]+(?:\[[^\]]*\])?)*):(.*)$/s;

/**
 * 'KEY=VALUE' or 'manifest:KEY=VALUE'; places that an image of one platform in the store doesn't have are refused.
 *
 * @throws UsageError
 */
export function annotation(text: string, platform: Platform): [key: string, value: string] {
  const [, given, rest] = prefix.exec(text) ?? [];
  // A key may hold a colon itself: only a known place, or what is nearly one, is a prefix.
  const placed = given !== undefined && (given.includes(',') || given.includes('[') || isPlace(given));
  if (placed) for (const place of given.split(/,(?![^[]*\])/)) requirePlace(text, place, platform);
  const pair = placed ? (rest ?? '') : text;
  const at = pair.indexOf('=');
  if (at > 0) return [pair.slice(0, at), pair.slice(at + 1)];
  throw bad(text, at < 0 ? 'there is no =' : 'there is no key before the =', `write ${option} KEY=VALUE`);
}

function isPlace(word: string): boolean {
  return places.includes(word) || closest(word, places) !== undefined;
}

function requirePlace(text: string, place: string, platform: Platform): void {
  const [, name = '', wanted] = /^([a-z-]+)(?:\[(.*)\])?$/.exec(place) ?? [];
  if (!places.includes(name)) {
    const near = closest(name, places);
    throw bad(text, `there is no ${name} to annotate`, near ? `did you mean ${near}?` : `write ${option} KEY=VALUE`);
  }
  if (name.startsWith('index')) {
    throw bad(text, 'an image for one platform has no index', `write ${option} manifest:KEY=VALUE`);
  }
  if (name === 'manifest-descriptor') {
    throw bad(
      text,
      'an image in the store has no descriptor of its own: that is written where it is listed',
      `write ${option} manifest:KEY=VALUE`,
    );
  }
  if (wanted !== undefined && !samePlatform(parsePlatform(wanted), platform)) {
    throw bad(text, `the image is not for ${wanted}`, 'leave the platform out, or build for it with --platform');
  }
}

function bad(text: string, problem: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `${option} ${text}: ${problem}`, hint });
}
