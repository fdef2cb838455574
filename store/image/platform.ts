// Which of several images is for a platform.
import type { Descriptor, Platform } from '../words.js';
import { normalPlatform } from './platform-names.js';

/**
 * How well a machine of platform `wanted` runs images for `offered`: 0 not at all, greater is better; 100 is the same
 * platform, less an older level of the same architecture.
 */
export function platformRank(wanted: Platform, offered: Platform): number {
  const want = normalPlatform(wanted);
  const have = normalPlatform(offered);
  if (want.os !== have.os || want.architecture !== have.architecture) return 0;
  if (want.variant === have.variant) return 100;
  const behind = variantLevel(want) - variantLevel(have);
  // Unknown variants (NaN) only match themselves.
  return behind >= 0 && behind < 99 ? 99 - behind : 0;
}

/** Null where the entry is for no platform at all: none given, or an attestation ('unknown/unknown'). */
export function descriptorPlatform(descriptor: Descriptor): Platform | null {
  const platform = descriptor.platform;
  if (platform === undefined || platform.os === 'unknown' || platform.architecture === 'unknown') return null;
  return platform;
}

/** Attestations sit in an index beside the images that they are about. */
export function isAttestation(descriptor: Descriptor): boolean {
  return (
    descriptor.annotations?.['vnd.docker.reference.type'] === 'attestation-manifest' ||
    descriptor.platform?.architecture === 'unknown'
  );
}

/** The level that a variant names: arm v5 to v8, amd64 v1 to v4, arm64 v8 to v9.x; without variant the lowest. */
function variantLevel({ architecture, variant }: Platform): number {
  if (variant === undefined) return architecture === 'amd64' ? 1 : architecture === 'arm64' ? 8 : 0;
  return /^v\d+(\.\d+)?$/.test(variant) ? Number(variant.slice(1)) : Number.NaN;
}
