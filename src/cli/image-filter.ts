// --filter of images, in docker's and podman's words.
import { familiarName, type ListedImage } from '#store';
import { closest } from '../base/index.js';
import { UsageError } from './cli.js';
import type { ImageEntry } from './image-entries.js';
import { durationMs } from './quantities.js';

export interface ImageFilter {
  /** True if images without a name are asked for. */
  readonly wantsDangling: boolean;
  readonly needsConfig: boolean;
  /** The names under which an image is listed; null: it is not. */
  namesOf(image: ListedImage, entries: readonly ImageEntry[]): readonly string[] | null;
}

type Test = (image: ListedImage, entries: readonly ImageEntry[]) => boolean;

const keys = ['reference', 'dangling', 'label', 'before', 'since', 'until'] as const;

/** @param all what before= and since= may name. @throws UsageError */
export function imageFilter(filters: readonly string[], all: readonly ListedImage[]): ImageFilter {
  const tests: Test[] = [];
  const patterns: RegExp[] = [];
  let wantsDangling = false;
  let needsConfig = false;
  for (const text of filters) {
    const [, word = '', negated, value = ''] = /^([^=!]*)(!?)=(.*)$/s.exec(text) ?? [];
    const key = keys.find((each) => each === word);
    if (key === undefined || value === '' || (negated && key !== 'label')) throw bad(text, word);
    switch (key) {
      case 'reference':
        patterns.push(namePattern(value));
        break;
      case 'dangling': {
        if (!/^(true|false|1|0)$/i.test(value)) throw bad(text, word, 'dangling is true or false');
        const wanted = /^(true|1)$/i.test(value);
        wantsDangling ||= wanted;
        tests.push(({ names }) => (names.length === 0) === wanted);
        break;
      }
      case 'label':
        needsConfig = true;
        tests.push((_, entries) => entries.some(hasLabel(value)) !== (negated === '!'));
        break;
      case 'before':
      case 'since': {
        const { createdMs } = named(value, all);
        tests.push((image) => (key === 'before' ? image.createdMs < createdMs : image.createdMs > createdMs));
        break;
      }
      case 'until': {
        const latest = momentMs(value);
        tests.push((image) => image.createdMs <= latest);
      }
    }
  }
  return {
    wantsDangling,
    needsConfig,
    namesOf(image, entries) {
      if (!tests.every((test) => test(image, entries))) return null;
      if (patterns.length === 0) return image.names;
      const names = image.names.filter((name) => patterns.some((pattern) => matchesName(pattern, name)));
      return names.length > 0 ? names : null;
    },
  };
}

/** '*' and '?' stand for what is no slash, as in docker's patterns. */
function namePattern(pattern: string): RegExp {
  const text = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replaceAll('**', '\0')
    .replaceAll('*', '[^/]*');
  return new RegExp(`^${text.replaceAll('\0', '.*').replaceAll('?', '[^/]')}$`);
}

/** A pattern may leave out the tag, the registry and 'library/'. */
function matchesName(pattern: RegExp, name: string): boolean {
  const repository = name.replace(/:[^/:]*$/, '');
  return [name, repository, repository.slice(repository.lastIndexOf('/') + 1), `docker.io/${name}`].some((each) =>
    pattern.test(each),
  );
}

function hasLabel(text: string): (entry: ImageEntry) => boolean {
  const at = text.indexOf('=');
  const [key, value] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  return ({ config }) => {
    const labels = config.config?.Labels ?? {};
    return Object.hasOwn(labels, key) && (value === undefined || labels[key] === value);
  };
}

/** @throws UsageError */
function named(text: string, all: readonly ListedImage[]): ListedImage {
  const hex = text.replace('sha256:', '');
  const name = familiarName(text);
  const image = all.find(
    ({ names, digest }) => names.includes(name) || (/^[0-9a-f]{4,64}$/.test(hex) && digest.startsWith(`sha256:${hex}`)),
  );
  if (image !== undefined) return image;
  throw new UsageError('USAGE', {
    message: `--filter names ${text}, which the store does not have`,
    hint: "'tsbuild images' lists what it has",
  });
}

/** An age ('24h', '7d') or a moment. @throws UsageError */
function momentMs(text: string): number {
  const moment = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(text) : Number.NaN;
  return Number.isNaN(moment) ? Date.now() - durationMs('--filter until', text) : moment;
}

function bad(text: string, word: string, hint?: string): UsageError {
  const near = closest(word, keys);
  const known = keys.some((key) => key === word);
  const usual = known ? `write ${word}=VALUE` : near ? `did you mean ${near}?` : `it is one of ${keys.join(', ')}`;
  return new UsageError('USAGE', { message: `--filter ${text} is no filter of images`, hint: hint ?? usual });
}
