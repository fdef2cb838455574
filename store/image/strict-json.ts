// JSON from outside. What two parsers may read differently is refused, so that the bytes a registry or scanner judged
// are the values that we use.
import { StoreError } from '../errors.js';

/** No manifest, index or config may be larger. @see OCI distribution-spec v1.1, "Pushing Manifests" */
export const maxDocumentBytes = 4 * 1024 * 1024;

const maxDepth = 64;

/**
 * @param what names the document in messages: 'the manifest sha256:…'
 * @throws StoreError IMAGE_DOCUMENT_INVALID: too large, not UTF-8, not JSON, duplicate keys, '__proto__', lone surrogates, too deep
 */
export function parseStrictJson(bytes: Uint8Array, what: string): unknown {
  if (bytes.length > maxDocumentBytes) throw invalid(what, `is larger than ${maxDocumentBytes} bytes`);
  let text: string;
  let value: unknown;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw invalid(what, 'is not valid UTF-8');
  }
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw invalid(what, 'is not valid JSON', cause);
  }
  scan(text, what);
  return value;
}

/** Looks at what JSON.parse hides: it merges duplicate keys. `text` is valid JSON, which keeps this pass linear. */
function scan(text: string, what: string): void {
  // A key is a string that a colon follows; keys of the objects that are open now, innermost last (null: an array).
  const open: (Set<string> | null)[] = [];
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"(?:\s*:)?|[{}[\]]/g)) {
    if (token === '{' || token === '[') {
      open.push(token === '{' ? new Set() : null);
      if (open.length > maxDepth) throw invalid(what, `is nested more than ${maxDepth} deep`);
    } else if (token === '}' || token === ']') {
      open.pop();
    } else {
      const isKey = token.endsWith(':');
      if (!isKey && !token.includes('\\u')) continue;
      const string: string = JSON.parse(isKey ? token.slice(0, token.lastIndexOf('"') + 1) : token);
      if (/\p{Surrogate}/u.test(string)) throw invalid(what, 'has a lone surrogate in a string');
      if (isKey) checkKey(string, open.at(-1) ?? null, what);
    }
  }
}

function checkKey(key: string, keys: Set<string> | null, what: string): void {
  if (key === '__proto__') throw invalid(what, "has the key '__proto__'");
  if (keys?.has(key)) throw invalid(what, `has the key ${JSON.stringify(key.slice(0, 100))} twice`);
  keys?.add(key);
}

function invalid(what: string, problem: string, cause?: unknown): StoreError {
  return new StoreError('IMAGE_DOCUMENT_INVALID', { message: `${what} ${problem}`, cause });
}

/** The bytes that a value is stored as: keys in byte order, no white space; equal values give equal digests. */
export function canonicalJson(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(sorted(value)), 'utf8');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).filter(([, item]) => item !== undefined);
  entries.sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, item]) => [key, sorted(item)]));
}
