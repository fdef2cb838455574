// --metadata-file: what was built, as JSON with the keys that docker buildx writes.
import { randomBytes } from 'node:crypto';
import { formatReference, mediaTypes, parseReference, readManifestBytes, type Store, type StoredImage } from '#store';
import { writeResult } from './write-result.js';

export async function writeMetadata(
  file: string,
  store: Store,
  image: StoredImage,
  tags: readonly string[],
): Promise<void> {
  const { digest, configDigest, manifest, config } = image;
  const { os, architecture, variant } = config;
  const created = config.created === undefined ? {} : { 'org.opencontainers.image.created': config.created };
  const metadata = {
    // Of other builders this names the builder, its node and the build; here it is unique, and no more.
    'buildx.build.ref': `tsbuild/tsbuild/${randomBytes(16).toString('hex')}`,
    'containerimage.config.digest': configDigest,
    'containerimage.descriptor': {
      mediaType: manifest.mediaType ?? mediaTypes.ociManifest,
      digest,
      size: (await readManifestBytes(store, image)).length,
      annotations: { 'config.digest': configDigest, ...created },
      platform: { architecture, os, ...(variant === undefined ? {} : { variant }) },
    },
    'containerimage.digest': digest,
    ...(tags.length === 0 ? {} : { 'image.name': tags.map((tag) => formatReference(parseReference(tag))).join(',') }),
  };
  writeResult('--metadata-file', file, `${JSON.stringify(metadata, null, 2)}\n`);
}
