// A registry over a store of the test's own, and requests to it as they are, without a client's good manners.
import { type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { gzipSync } from 'node:zlib';
import { onTestFinished } from 'vitest';
import { mediaTypes, type ServeOptions, type Store, serveStore } from '#store';
import { digestOf, tarOf } from './image-samples.js';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The spec's code of an error. */
  readonly code: string | undefined;
  json(): unknown;
}

export interface Asked {
  readonly headers?: OutgoingHttpHeaders;
  readonly body?: Buffer | string;
  readonly tls?: { readonly ca: string; readonly cert?: string; readonly key?: string };
}

export type Ask = (method: string, path: string, asked?: Asked) => Promise<Answer>;

export interface Served {
  /** '127.0.0.1:PORT' */
  readonly name: string;
  readonly notices: string[];
  readonly ask: Ask;
  close(): Promise<void>;
}

export async function serve(store: Store, options: Partial<ServeOptions> = {}): Promise<Served> {
  const notices: string[] = [];
  const serving = await serveStore(store, {
    listen: [{ host: '127.0.0.1', port: 0 }],
    graceMs: 0,
    onNotice: (text) => notices.push(text),
    ...options,
  });
  onTestFinished(() => serving.close());
  const url = serving.urls[0]!;
  return { name: url.replace(/^https?:\/\//, ''), notices, ask: asker(url), close: () => serving.close() };
}

/** Paths go as they are: '..' is not resolved before it is sent. */
export function asker(url: string): Ask {
  const { protocol, hostname, port } = new URL(url);
  return (method, path, { headers = {}, body, tls } = {}) =>
    new Promise((resolve, reject) => {
      const options = { host: hostname, port, method, path, headers, agent: false, ...tls };
      const sent = protocol === 'https:' ? secureRequest(options) : request(options);
      sent.on('error', reject);
      sent.on('response', (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('error', reject);
        response.on('end', () => {
          if (!response.complete) return reject(new Error('cut off'));
          resolve(answerOf(response.statusCode!, response.headers, Buffer.concat(chunks)));
        });
      });
      sent.end(body);
    });
}

function answerOf(status: number, headers: IncomingHttpHeaders, body: Buffer): Answer {
  const json = (): unknown => JSON.parse(body.toString());
  const isError = status >= 400 && body.length > 0;
  const code = isError ? (json() as { errors: { code: string }[] }).errors[0]!.code : undefined;
  return { status, headers, body, code, json };
}

export async function pushBlob(ask: Ask, repository: string, bytes: Buffer | string, headers = {}): Promise<string> {
  const digest = digestOf(bytes);
  const path = `/v2/${repository}/blobs/uploads/?digest=${digest}`;
  const { status, body } = await ask('POST', path, { headers, body: bytes });
  if (status !== 201) throw new Error(`the blob was answered with ${status}: ${body}`);
  return digest;
}

export interface Artifact {
  readonly manifest: Buffer;
  readonly digest: string;
  readonly mediaType: string;
}

/** An image of one gzip layer; its blobs are sent, its manifest is not. */
export async function pushImageBlobs(
  ask: Ask,
  repository: string,
  files: Readonly<Record<string, string>>,
  options: { readonly compress?: boolean; readonly headers?: OutgoingHttpHeaders; readonly diffId?: string } = {},
): Promise<Artifact & { readonly layer: Buffer; readonly tar: Buffer }> {
  const { compress = true, headers = {} } = options;
  const tar = tarOf(files);
  const layer = compress ? gzipSync(tar) : tar;
  const config = Buffer.from(
    JSON.stringify({
      architecture: 'amd64',
      os: 'linux',
      rootfs: { type: 'layers', diff_ids: [options.diffId ?? digestOf(tar)] },
    }),
  );
  for (const blob of [layer, config]) await pushBlob(ask, repository, blob, headers);
  const layerType = compress ? mediaTypes.ociLayerGzip : mediaTypes.ociLayer;
  return { ...manifestOf(config, [[layerType, layer]]), layer, tar };
}

export function manifestOf(
  config: Buffer,
  layers: readonly (readonly [mediaType: string, bytes: Buffer])[],
  more: object = {},
): Artifact {
  const describe = (mediaType: string, bytes: Buffer): object => ({
    mediaType,
    digest: digestOf(bytes),
    size: bytes.length,
  });
  const isEmpty = config.toString() === '{}';
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: describe(isEmpty ? mediaTypes.ociEmpty : mediaTypes.ociConfig, config),
      layers: layers.map(([mediaType, bytes]) => describe(mediaType, bytes)),
      ...more,
    }),
  );
  return { manifest, digest: digestOf(manifest), mediaType: mediaTypes.ociManifest };
}

export function putManifest(
  ask: Ask,
  repository: string,
  reference: string,
  { manifest, mediaType }: Artifact,
  headers: OutgoingHttpHeaders = {},
): Promise<Answer> {
  return ask('PUT', `/v2/${repository}/manifests/${reference}`, {
    headers: { 'content-type': mediaType, ...headers },
    body: manifest,
  });
}

/** An artifact of one blob, sent with it. */
export async function pushArtifact(
  ask: Ask,
  repository: string,
  content: string,
  more: object = {},
): Promise<Artifact> {
  const blobs = [Buffer.from('{}'), Buffer.from(content)] as const;
  for (const blob of blobs) await pushBlob(ask, repository, blob);
  return manifestOf(blobs[0], [['application/vnd.test.thing', blobs[1]]], more);
}
