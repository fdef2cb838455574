// UndefinedArgInFrom, InvalidDefaultArgInFrom, RedundantTargetPlatform, FromPlatformFlagConstDisallowed.
import { parseReference, StoreError } from '#store';
import { BuildError, nearest } from '../base/index.js';
import type { Word } from '../buildfile/index.js';
import { globalVariables } from '../graph/index.js';
import type { Found, Subject } from './finding.js';
import { expandRecording, placeOfVariable } from './recorded.js';

export function* undefinedArgInFrom({ file, globals }: Subject): Iterable<Found> {
  const declared = new Set(globals.keys());
  for (const { args } of file.globalArgs) for (const { name } of args) declared.add(name);
  for (const { from } of file.stages) {
    for (const word of from.platform === null ? [from.base] : [from.base, from.platform]) {
      const { unmatched } = expandRecording(word.text, globals, { escapeChar: file.escapeChar });
      for (const name of unmatched) {
        if (declared.has(name)) continue;
        const near = nearest(name, declared, 2);
        yield {
          rule: 'UndefinedArgInFrom',
          message: `FROM argument '${name}' is not declared${near === undefined ? '' : ` (did you mean ${near}?)`}`,
          at: placeOfVariable(word, name),
          instruction: from,
          hint: `declare it with ARG ${near ?? name} above the first FROM`,
        };
      }
    }
  }
}

export function* invalidDefaultArgInFrom({ file, options }: Subject): Iterable<Found> {
  const defaults = defaultsOf({ file, options });
  if (defaults === null) return;
  for (const { from } of file.stages) {
    if (!from.base.text.includes('$')) continue; // a name that is wrong as it stands is told by itself
    const { text } = expandRecording(from.base.text, defaults, { escapeChar: file.escapeChar });
    if (text === null || isImageName(text)) continue;
    yield {
      rule: 'InvalidDefaultArgInFrom',
      message: `Default value for ARG ${from.base.text} results in empty or invalid base image name`,
      at: from.base.at,
      instruction: from,
      hint: 'give the ARG a default with which the file builds without --build-arg',
    };
  }
}

/** The variables of a build without arguments; null if they can't be told. */
function defaultsOf({ file, options }: Pick<Subject, 'file' | 'options'>): ReadonlyMap<string, string> | null {
  try {
    return globalVariables(file, { ...options, buildArgs: new Map() });
  } catch (error) {
    if (error instanceof BuildError) return null;
    throw error;
  }
}

/** Sources of ours that are no names of images: 'host://sh', 'oci-layout://DIR'. */
const otherSources = /^(host|docker-image|oci-layout|oci-archive|docker-archive):./;

function isImageName(text: string): boolean {
  if (otherSources.test(text)) return true;
  try {
    parseReference(text);
    return true;
  } catch (error) {
    if (error instanceof StoreError) return false;
    throw error;
  }
}

export function* redundantTargetPlatform({ file, globals }: Subject): Iterable<Found> {
  for (const { from } of file.stages) {
    if (from.platform === null) continue;
    const { text, matched, unmatched } = expandRecording(from.platform.text, globals, { escapeChar: file.escapeChar });
    if (matched.size !== 1 || unmatched.size > 0 || !matched.has('TARGETPLATFORM')) continue;
    if (text !== globals.get('TARGETPLATFORM')) continue;
    yield {
      rule: 'RedundantTargetPlatform',
      message: `Setting platform to predefined ${from.platform.text} in FROM is redundant as this is the default behavior`,
      at: from.platform.at,
      instruction: from,
      hint: 'leave --platform out',
    };
  }
}

export function* fromPlatformFlagConst({ file, options, globals }: Subject): Iterable<Found> {
  for (const { from } of file.stages) {
    if (from.platform === null) continue;
    const { text, matched, unmatched } = expandRecording(from.platform.text, globals, { escapeChar: file.escapeChar });
    if (text === null || matched.size > 0 || unmatched.size > 0) continue;
    const platform = platformOf(text, from.platform, options);
    const name = from.name ?? '';
    if (platform === null || name.includes(platform.os) || name.includes(platform.architecture)) continue;
    yield {
      rule: 'FromPlatformFlagConstDisallowed',
      message: `FROM --platform flag should not use constant value ${JSON.stringify(text)}`,
      at: from.platform.at,
      instruction: from,
      hint: `leave it out, use $BUILDPLATFORM, or say it in the stage's name, as in AS build-${platform.architecture}`,
    };
  }
}

function platformOf(
  text: string,
  { at }: Word,
  { parsePlatform }: Subject['options'],
): ReturnType<typeof parsePlatform> | null {
  try {
    return parsePlatform(text, at);
  } catch (error) {
    if (error instanceof BuildError) return null; // planning refuses it
    throw error;
  }
}
