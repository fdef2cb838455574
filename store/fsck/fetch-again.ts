// Lost objects from the registries that tags name: whatever comes must have the digest that was lost.
import { findBlob, putBlob, readBlob } from '../content/blob.js';
import type { Store } from '../content/handle.js';
import { importLayer } from '../content/import.js';
import { StoreError } from '../errors.js';
import { parseReference } from '../image/reference.js';
import { parseStrictJson } from '../image/strict-json.js';
import type { RegistryOptions } from '../transport/registry-access.js';
import { openRegistry, type Registry } from '../transport/registry-client.js';
import { fetchBlob, fetchDocument, fetchManifest, hasBlob } from '../transport/registry-fetch.js';
import type { Lease } from '../types.js';
import type { Descriptor, DiffId, Digest } from '../words.js';
import type { FetchAgain } from './finding.js';

/** Asks the registries of the tags that need an object; one that does not answer is asked once. */
export function fetchFromRegistries(options: RegistryOptions = {}): FetchAgain {
  const silent = new Set<string>();
  const ask = async (
    references: readonly string[],
    work: (registry: Registry) => Promise<boolean>,
  ): Promise<true | string> => {
    let answer = 'no registry has it';
    for (const reference of references) {
      const place = parseReference(reference);
      if (silent.has(place.registry)) continue;
      const registry = await openRegistry(place, 'pull', { retry: { attempts: 2 }, ...options }).catch((error) => {
        answer = messageOf(error);
        return null;
      });
      if (registry === null) {
        silent.add(place.registry);
        continue;
      }
      try {
        if (await work(registry)) return true;
      } catch (error) {
        if (!(error instanceof StoreError)) throw error;
        answer = error.message;
        if (error.code === 'REGISTRY_UNREACHABLE' || error.code === 'REGISTRY_TLS') silent.add(place.registry);
      } finally {
        registry.close();
      }
    }
    return answer;
  };
  return {
    layer: async (store, lease, diffId, references) => {
      const forms = await formsOf(store, diffId);
      return ask(references, (registry) => fetchLayer(registry, store, lease, diffId, forms));
    },
    document: (store, lease, digest, references) =>
      ask(references, async (registry) => {
        const bytes = await documentBytes(registry, digest);
        if (bytes === null) return false;
        await putBlob(store, lease, bytes, { digest });
        return true;
      }),
  };
}

async function fetchLayer(
  registry: Registry,
  store: Store,
  lease: Lease,
  diffId: DiffId,
  forms: readonly Descriptor[],
): Promise<boolean> {
  for (const form of forms) {
    if (!(await hasBlob(registry, form))) continue;
    const { digest, size, mediaType } = form;
    const blob = digest === diffId ? {} : { blob: { digest, size, mediaType } };
    await importLayer(store, lease, fetchBlob(registry, form), { expectDiffId: diffId, ...blob });
    return true;
  }
  return false;
}

/** The forms in which a registry may have a layer: those seen before, and those that the images' manifests name. */
async function formsOf(store: Store, diffId: DiffId): Promise<Descriptor[]> {
  const { database } = store;
  const forms: Descriptor[] = database.compressions(diffId).map((form) => ({ ...form }));
  const images = database.images().filter((image) => image.layers.includes(diffId));
  for (const { digest, layers } of images) {
    if (findBlob(store, digest) === null) continue;
    const form = descriptorAt(await readBlob(store, digest).catch(() => null), layers.indexOf(diffId));
    if (form !== null) forms.push(form);
  }
  return [...new Map(forms.map((form) => [form.digest, form])).values()];
}

function descriptorAt(manifest: Buffer | null, i: number): Descriptor | null {
  if (manifest === null) return null;
  const { layers } = parseStrictJson(manifest, 'the manifest') as { readonly layers?: readonly Descriptor[] };
  const layer = layers?.[i];
  return typeof layer?.digest === 'string' && typeof layer.size === 'number' ? layer : null;
}

/** A manifest is asked for in another place than a config; there, some registries break at the digest of a config. */
async function documentBytes(registry: Registry, digest: Digest): Promise<Buffer | null> {
  try {
    return await fetchDocument(registry, digest);
  } catch (error) {
    if (!isNotThere(error)) throw error;
  }
  try {
    return (await fetchManifest(registry, digest)).bytes;
  } catch (error) {
    if (!isNotThere(error)) throw error;
    return null;
  }
}

function isNotThere(error: unknown): boolean {
  return error instanceof StoreError && error.code === 'REGISTRY_NOT_FOUND';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
