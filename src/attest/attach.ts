// Statements about an image → the manifest that an index lists beside it.
// @see BuildKit, docs/attestations/attestation-storage.md; in-toto Attestation Framework v1
import { type Descriptor, type Digest, type Lease, mediaTypes, type Platform, putBlob, type Store } from '#store';
import { packageUrl } from './package-url.js';

/** Something said about an image. */
export interface Statement {
  /** The file that holds it, beside the files of an image. */
  readonly file: string;
  readonly predicateType: string;
  readonly predicate: unknown;
}

export interface Subject {
  readonly name: string;
  readonly digest: { readonly sha256: string };
}

const layerType = 'application/vnd.in-toto+json';
const artifactType = 'application/vnd.docker.attestation.manifest.v1+json';

/** An image without a name is called '_'. */
export function subjectsOf(digest: Digest, names: readonly string[], platform: Platform): Subject[] {
  const sha256 = digest.slice('sha256:'.length);
  if (names.length === 0) return [{ name: '_', digest: { sha256 } }];
  return names.map((name) => ({ name: packageUrl(name, platform), digest: { sha256 } }));
}

/**
 * Stores the statements and their manifest.
 *
 * @param artifact an OCI artifact whose subject is the image; else something in the shape of an image, for old registries
 * @returns how an index lists it
 */
export async function attachStatements(
  store: Store,
  lease: Lease,
  image: Descriptor,
  subject: readonly Subject[],
  statements: readonly Statement[],
  artifact: boolean,
): Promise<Descriptor> {
  const layers: Descriptor[] = [];
  for (const statement of statements) {
    const { predicateType } = statement;
    const blob = await putBlob(store, lease, Buffer.from(JSON.stringify(inToto(statement, subject))));
    layers.push({ mediaType: layerType, ...blob, annotations: { 'in-toto.io/predicate-type': predicateType } });
  }
  const config = artifact ? emptyConfig : imageLikeConfig(layers);
  const configBlob = await putBlob(store, lease, config);
  const { mediaType, digest, size } = image;
  const manifest = {
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    ...(artifact && { artifactType }),
    config: artifact
      ? { mediaType: mediaTypes.ociEmpty, ...configBlob, data: emptyConfig.toString('base64') }
      : { mediaType: mediaTypes.ociConfig, ...configBlob },
    layers,
    ...(artifact && { subject: { mediaType, digest, size } }),
  };
  const blob = await putBlob(store, lease, Buffer.from(JSON.stringify(manifest)));
  return {
    mediaType: mediaTypes.ociManifest,
    ...blob,
    annotations: { 'vnd.docker.reference.digest': digest, 'vnd.docker.reference.type': 'attestation-manifest' },
    platform: { architecture: 'unknown', os: 'unknown' },
  };
}

/** What an attestation's file or blob holds. */
export function inToto({ predicateType, predicate }: Statement, subject: readonly Subject[]): object {
  return { _type: 'https://in-toto.io/Statement/v1', predicateType, subject, predicate };
}

const emptyConfig = Buffer.from('{}');

/** Says nothing, but that it is for no machine. */
function imageLikeConfig(layers: readonly Descriptor[]): Buffer {
  const rootfs = { type: 'layers', diff_ids: layers.map(({ digest }) => digest) };
  return Buffer.from(JSON.stringify({ architecture: 'unknown', os: 'unknown', config: {}, rootfs }));
}
