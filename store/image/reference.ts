// Image names, by the grammar of the distribution project, with Docker's short forms.
import { StoreError } from '../errors.js';
import { type Digest, parseDigest } from '../words.js';

/** A full image name. Without tag and digest in the text, `tag` is 'latest', as everywhere in the field. */
export interface Reference {
  /** 'docker.io', 'localhost:5000', '[::1]:5000'. */
  readonly registry: string;
  readonly repository: string;
  readonly tag?: string;
  readonly digest?: Digest;
}

const defaultRegistry = 'docker.io';
const domainComponent = '(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])';
const registryPattern = new RegExp(
  `^(?:${domainComponent}(?:\\.${domainComponent})*|\\[[a-fA-F0-9:]+\\])(?::[0-9]{1,5})?$`,
);
const pathComponentPattern = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const tagPattern = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;

/**
 * 'app:1' is docker.io/library/app:1; 'localhost/app' and 'host:5000/app' name their registry.
 *
 * @throws StoreError REFERENCE_INVALID, saying which part is wrong
 * @see distribution/reference: grammar in reference.go, short forms in normalize.go
 */
export function parseReference(text: string): Reference {
  if (text === '') throw invalid(text, 'it is empty');
  const at = text.indexOf('@');
  const digest = at < 0 ? undefined : parseReferenceDigest(text, text.slice(at + 1));
  const { name, tag } = splitTag(at < 0 ? text : text.slice(0, at));
  if (tag !== undefined && !tagPattern.test(tag)) {
    throw invalid(
      text,
      `${quoted(tag)} is no tag (letters, digits, '_', '.', '-', at most 128, not starting with '.' or '-')`,
    );
  }
  const { registry, repository } = splitName(text, name);
  return {
    registry,
    repository,
    ...(tag !== undefined && { tag }),
    ...(digest !== undefined && { digest }),
    ...(tag === undefined && digest === undefined && { tag: 'latest' }),
  };
}

/** The full form: 'docker.io/library/app:1', with '@sha256:…' where there is a digest. */
export function formatReference(reference: Reference): string {
  return `${reference.registry}/${reference.repository}${suffix(reference)}`;
}

/** The form people type: 'docker.io/library/app:1' is 'app:1'. Text that is no reference comes back as it is. */
export function familiarName(reference: Reference | string): string {
  if (typeof reference === 'string') {
    try {
      return familiarName(parseReference(reference));
    } catch (error) {
      if (error instanceof StoreError && error.code === 'REFERENCE_INVALID') return reference;
      throw error;
    }
  }
  if (reference.registry !== defaultRegistry) return formatReference(reference);
  const short = reference.repository.replace(/^library\/(?=[^/]+$)/, '');
  return `${looksLikeRegistry(short.split('/')[0] ?? '') ? reference.repository : short}${suffix(reference)}`;
}

function parseReferenceDigest(text: string, digest: string): Digest {
  try {
    return parseDigest(digest);
  } catch {
    throw invalid(text, `${quoted(digest)} is no digest ('sha256:' and 64 lower-case hexadecimal digits)`);
  }
}

/** A colon after the last slash starts the tag; before it, it is a port. */
function splitTag(text: string): { name: string; tag?: string } {
  const colon = text.indexOf(':', text.lastIndexOf('/') + 1);
  return colon < 0 ? { name: text } : { name: text.slice(0, colon), tag: text.slice(colon + 1) };
}

function splitName(text: string, name: string): { registry: string; repository: string } {
  const slash = name.indexOf('/');
  const first = slash < 0 ? '' : name.slice(0, slash);
  const named = slash >= 0 && looksLikeRegistry(first);
  const registry = !named || first === 'index.docker.io' ? defaultRegistry : first;
  const rest = named ? name.slice(slash + 1) : name;
  if (!registryPattern.test(registry)) throw invalid(text, `${quoted(registry)} is no registry host`);
  checkRepository(text, rest);
  const repository = registry === defaultRegistry && !rest.includes('/') ? `library/${rest}` : rest;
  if (repository.length > 255) throw invalid(text, 'its name is longer than 255 characters');
  return { registry, repository };
}

function looksLikeRegistry(component: string): boolean {
  return (
    component.includes('.') ||
    component.includes(':') ||
    component === 'localhost' ||
    /^(?!.*_)[^/]*[A-Z]/.test(component)
  );
}

function checkRepository(text: string, repository: string): void {
  if (repository === '') throw invalid(text, 'the repository name is missing');
  if (/^[0-9a-f]{64}$/.test(repository)) {
    throw invalid(text, 'a name of 64 hexadecimal digits would be mistaken for an image id');
  }
  for (const component of repository.split('/')) {
    if (pathComponentPattern.test(component)) continue;
    if (component === '') throw invalid(text, "it has an empty component (a '/' too many)");
    const lower = component.toLowerCase();
    if (lower !== component && pathComponentPattern.test(lower)) {
      throw invalid(text, `repository names are lower-case: ${quoted(lower)}, not ${quoted(component)}`);
    }
    throw invalid(
      text,
      `${quoted(component)} is no name (lower-case letters and digits, separated by '.', '_', '__' or '-')`,
    );
  }
}

function suffix(reference: Reference): string {
  const tag = reference.tag === undefined ? '' : `:${reference.tag}`;
  return reference.digest === undefined ? tag : `${tag}@${reference.digest}`;
}

function quoted(text: string): string {
  return JSON.stringify(text.slice(0, 300));
}

function invalid(text: string, problem: string): StoreError {
  return new StoreError('REFERENCE_INVALID', {
    message: `not an image name: ${quoted(text)}: ${problem}`,
    hint: "write it as [registry[:port]/]name[:tag], such as 'app:1' or 'localhost:5000/team/app:1'",
  });
}
