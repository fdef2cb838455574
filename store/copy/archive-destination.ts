// Archives as destinations of a copy: an OCI layout in a tar, which holds anything; and what `docker load` reads, which holds one
// image whose layers are plain tars.
import { createReadStream } from 'node:fs';
import type { Writable } from 'node:stream';
import { StoreError } from '../errors.js';
import { familiarName, formatReference, parseReference } from '../image/reference.js';
import { containerdName, refName } from '../transport/blob-folder.js';
import { encodeIndexJson, layoutMarker } from '../transport/layout-export.js';
import { ociLayerType } from '../transport/outgoing.js';
import type { Descriptor, Digest } from '../words.js';
import { mediaTypes } from '../words.js';
import { type Member, writeMembers } from './archive-writer.js';
import { writeTar } from './convert-image.js';
import type { ImageDestination, ImageSource, Scratch, WriteOptions } from './image-source.js';
import { isImage, readPlannedConfig } from './planned-image.js';

export interface ArchiveTarget {
  /** For messages. */
  readonly name: string;
  /** A file, which is replaced when the archive is complete, or a stream such as standard output. */
  readonly target: string | Writable;
  /** Name of the image in the archive. */
  readonly tag: string | undefined;
}

export function ociArchiveDestination({ name, target, tag }: ArchiveTarget): ImageDestination {
  return {
    name,
    holdsIndexes: true,
    wantsCompressed: false,
    async write({ root, documents, blobs }, source, options) {
      const members: Member[] = [
        { name: 'blobs', dir: true },
        { name: 'blobs/sha256', dir: true },
        { name: 'oci-layout', bytes: layoutMarker },
        { name: 'index.json', bytes: encodeIndexJson([tagged(root.descriptor, tag)]) },
      ];
      for (const { descriptor, bytes } of [...documents, root]) {
        members.push({ name: blobName(descriptor.digest), bytes });
      }
      for (const blob of blobs) {
        members.push({ name: blobName(blob.digest), blob, open: () => source.openBlob(blob) });
      }
      await writeMembers(target, members, writerOptions(source, options));
    },
  };
}

/** podman and skopeo look at the one annotation, containerd and docker, where it is a whole name, at the other. */
function tagged(root: Descriptor, tag: string | undefined): Descriptor {
  if (tag === undefined) return root;
  const full = /[:/]/.test(tag) ? { [containerdName]: formatReference(parseReference(tag)) } : {};
  return { ...root, annotations: { [refName]: tag, ...full } };
}

/** @param scratch holds the tars of compressed layers, whose sizes are not known before */
export function dockerArchiveDestination({ name, target, tag }: ArchiveTarget, scratch: Scratch): ImageDestination {
  return {
    name,
    holdsIndexes: false,
    wantsCompressed: false,
    async write({ manifests, root }, source, options) {
      const image = manifests.find(({ descriptor }) => descriptor.digest === root.descriptor.digest);
      if (image === undefined || !isImage(image.manifest)) {
        throw new StoreError('COPY_NO_IMAGE', {
          message: `${source.name} is no container image, ${name} holds nothing else`,
          hint: 'copy it to oci: or oci-archive:',
        });
      }
      const { bytes, config } = await readPlannedConfig(source, image);
      const configName = `${hex(image.manifest.config.digest)}.json`;
      const layerNames = config.rootfs.diff_ids.map((diffId) => `${hex(diffId)}.tar`);
      const entry = { Config: configName, RepoTags: tag === undefined ? [] : [familiarName(tag)], Layers: layerNames };
      const members = new Map<string, Member>([
        [configName, { name: configName, bytes }],
        ['manifest.json', { name: 'manifest.json', bytes: Buffer.from(JSON.stringify([entry])) }],
      ]);
      for (const [i, layer] of image.manifest.layers.entries()) {
        options.signal?.throwIfAborted();
        const member = layerNames[i]!;
        const diffId = config.rootfs.diff_ids[i]!;
        if (members.has(member)) continue;
        if (ociLayerType(layer.mediaType) === mediaTypes.ociLayer) {
          members.set(member, { name: member, blob: { ...layer, digest: diffId }, open: () => source.openBlob(layer) });
          continue;
        }
        const path = scratch.path('layer');
        const size = await writeTar(source, layer, diffId, path, scratch.maxLayerBytes);
        const blob = { mediaType: mediaTypes.ociLayer, digest: diffId, size };
        members.set(member, { name: member, blob, open: () => createReadStream(path, { highWaterMark: 1 << 20 }) });
      }
      await writeMembers(target, [...members.values()], writerOptions(source, options));
    },
  };
}

function writerOptions(source: ImageSource, { onProgress, signal }: WriteOptions): Parameters<typeof writeMembers>[2] {
  return {
    from: source.name,
    signal,
    onBlob: ({ digest, size }, doneBytes) =>
      onProgress?.({ digest, state: doneBytes === size ? 'done' : 'receiving', doneBytes, totalBytes: size }),
  };
}

function blobName(digest: Digest): string {
  return `blobs/sha256/${hex(digest)}`;
}

function hex(digest: Digest): string {
  return digest.slice('sha256:'.length);
}
