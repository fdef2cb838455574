// Which manifests of a plan are container images, and what their configs say.
import { parseConfig, requireSameLayerCount } from '../image/document.js';
import { requireBytes } from '../image/resolve.js';
import { isLayerType } from '../transport/receive.js';
import { type ImageConfig, type Manifest, mediaTypes } from '../words.js';
import type { ImageSource, PlannedManifest } from './image-source.js';

/** False for what is attested about images, signatures, charts and other artifacts. */
export function isImage({ config, layers, artifactType }: Manifest): boolean {
  const { ociConfig, dockerConfig } = mediaTypes;
  const isConfig = config.mediaType === ociConfig || config.mediaType === dockerConfig;
  return isConfig && artifactType === undefined && layers.every(({ mediaType }) => isLayerType(mediaType));
}

/** @throws StoreError IMAGE_CONFIG_INVALID, IMAGE_LAYERS_MISMATCH, BLOB_DIGEST_MISMATCH, BLOB_SIZE_MISMATCH */
export async function readPlannedConfig(
  source: ImageSource,
  { manifest }: PlannedManifest,
): Promise<{ bytes: Buffer; config: ImageConfig }> {
  const what = `the config of ${source.name}`;
  const bytes = await source.readDocument(manifest.config);
  requireBytes(bytes, manifest.config, what);
  const config = parseConfig(bytes, what);
  requireSameLayerCount(manifest, config, source.name);
  return { bytes, config };
}
