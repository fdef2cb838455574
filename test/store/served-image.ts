// An image as a scripted registry serves it.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { mediaTypes } from '#store';
import { digestOf, randomText, tarOf } from './image-samples.js';

const tar = tarOf({ 'srv/data': randomText(2_000_000, 'served') });

/** Its only layer, compressed. */
export const servedLayer = gzipSync(tar);

const config = Buffer.from(
  JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs: { type: 'layers', diff_ids: [digestOf(tar)] } }),
);

export const servedManifest = Buffer.from(
  JSON.stringify({
    schemaVersion: 2,
    mediaType: mediaTypes.ociManifest,
    config: { mediaType: mediaTypes.ociConfig, digest: digestOf(config), size: config.length },
    layers: [{ mediaType: mediaTypes.ociLayerGzip, digest: digestOf(servedLayer), size: servedLayer.length }],
  }),
);

/** As a registry should answer. */
export function serveImage(request: IncomingMessage, response: ServerResponse): void {
  const url = request.url ?? '';
  if (url === '/v2/') response.end('{}');
  else if (url.includes('/manifests/')) response.setHeader('content-type', mediaTypes.ociManifest).end(servedManifest);
  else if (url.endsWith(digestOf(config))) response.end(config);
  else if (url.endsWith(digestOf(servedLayer))) serveLayer(request, response);
  else response.writeHead(404).end();
}

/** From the byte that is asked for. */
export function serveLayer(request: IncomingMessage, response: ServerResponse, bytes = servedLayer): void {
  const start = rangeStart(request);
  if (start > 0) {
    response.writeHead(206, { 'content-range': `bytes ${start}-${bytes.length - 1}/${bytes.length}` });
  }
  response.end(bytes.subarray(start));
}

export function rangeStart(request: IncomingMessage): number {
  return Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
}

export function asksForLayer(request: IncomingMessage): boolean {
  return (request.url ?? '').endsWith(digestOf(servedLayer));
}
