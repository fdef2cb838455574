// --metadata-file: what was built, as JSON with the keys that docker buildx writes.
import { randomBytes } from 'node:crypto';
import { formatReference, parseReference } from '#store';
import type { Built } from '../build/index.js';
import { writeResult } from './write-result.js';

export async function writeMetadata(file: string, built: Built, env: NodeJS.ProcessEnv): Promise<void> {
  const { image, digest, descriptor, names } = built;
  const { created } = image.config;
  const annotations = {
    ...descriptor.annotations,
    // Of an index there are several configs.
    ...(built.index === undefined && { 'config.digest': image.configDigest }),
    ...(created !== undefined && { 'org.opencontainers.image.created': created }),
  };
  const provenance = await provenanceOf(built, env);
  const metadata = {
    // Of other builders this names the builder, its node and the build; here it is unique, and no more.
    'buildx.build.ref': `tsbuild/tsbuild/${randomBytes(16).toString('hex')}`,
    ...(provenance !== null && { 'buildx.build.provenance': provenance }),
    'containerimage.config.digest': image.configDigest,
    'containerimage.descriptor': { ...descriptor, annotations },
    'containerimage.digest': digest,
    ...(names.length > 0 && { 'image.name': names.map((name) => formatReference(parseReference(name))).join(',') }),
  };
  writeResult('--metadata-file', file, `${JSON.stringify(metadata, null, 2)}\n`);
}

/** As BUILDX_METADATA_PROVENANCE says: min (without being told), max, or disabled. */
async function provenanceOf({ provenance }: Built, env: NodeJS.ProcessEnv): Promise<object | null> {
  const wanted = env.BUILDX_METADATA_PROVENANCE || 'min';
  return wanted === 'min' || wanted === 'max' ? provenance(wanted) : null;
}
