// --annotation, and annotation… of --output: what manifests and indexes say about the image.

import type { Platform } from '#store';
import { closest } from '../base/index.js';
import type { Annotation, AnnotationPlace } from '../build/index.js';
import { parsePlatform, samePlatform } from '../platform/index.js';
import { UsageError } from './cli.js';

const option = '--annotation';
const places: readonly AnnotationPlace[] = ['manifest', 'index', 'manifest-descriptor', 'index-descriptor'];
const prefix = /^([a-z-]+(?:\[[^\]]*\])?(?:,[a-z-]+(?:\[[^\]]*\])?)*):(.*)$/s;

/** The image that is annotated. */
export interface Annotated {
  readonly platform: Platform;
  /** It is in an index. */
  readonly indexed: boolean;
}

/**
 * 'KEY=VALUE', which is the manifest's, or 'manifest,index[linux/amd64]:KEY=VALUE'.
 *
 * @throws UsageError also for a place that the image doesn't have
 */
export function annotations(text: string, image: Annotated): Annotation[] {
  const [, given, rest] = prefix.exec(text) ?? [];
  // A key may hold a colon itself: only a known place, or what is nearly one, is a prefix.
  const placed = given !== undefined && (given.includes(',') || given.includes('[') || isPlace(given));
  const named = placed
    ? given.split(/,(?![^[]*\])/).map((place) => placeOf(text, place, image))
    : ['manifest' as const];
  const pair = placed ? (rest ?? '') : text;
  const at = pair.indexOf('=');
  if (at > 0) return named.map((place) => ({ place, key: pair.slice(0, at), value: pair.slice(at + 1) }));
  throw bad(text, at < 0 ? 'there is no =' : 'there is no key before the =', `write ${option} KEY=VALUE`);
}

function isPlace(word: string): boolean {
  return closest(word, places) !== undefined || places.some((place) => place === word);
}

function placeOf(text: string, written: string, { platform, indexed }: Annotated): AnnotationPlace {
  const [, name = '', wanted] = /^([a-z-]+)(?:\[(.*)\])?$/.exec(written) ?? [];
  const place = places.find((known) => known === name);
  if (place === undefined) {
    const near = closest(name, places);
    throw bad(text, `there is no ${name} to annotate`, near ? `did you mean ${near}?` : `write ${option} KEY=VALUE`);
  }
  if (!indexed && place.startsWith('index')) {
    throw bad(
      text,
      'index annotations not supported for single platform export',
      `write ${option} manifest:KEY=VALUE, or attest something (--provenance=true), which makes an index`,
    );
  }
  if (wanted !== undefined && !samePlatform(parsePlatform(wanted), platform)) {
    throw bad(text, `the image is not for ${wanted}`, 'leave the platform out, or build for it with --platform');
  }
  return place;
}

function bad(text: string, problem: string, hint: string): UsageError {
  return new UsageError('USAGE', { message: `${option} ${text}: ${problem}`, hint });
}
