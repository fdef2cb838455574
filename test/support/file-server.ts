// A real HTTP server for files and git repositories below a directory, which behaves as the request's path asks:
//   /file              with ETag and Last-Modified, answers conditional requests
//   /untold/file       tells neither
//   /careless/file     tells an ETag, but sends the file whatever the request says
//   /redirect/path     sends on to /path
//   /status/503        answers with that status
//   /private/path      wants 'Authorization: Bearer sesame', or 'basic' with 'x-access-token:sesame', as git sends it
//   /cut/file          breaks off in the middle
//   /slow/file         sends the first half and then nothing
//   /repository.git/…  is git's own CGI program
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { join, normalize } from 'node:path';

export interface FileServer {
  /** 'http://127.0.0.1:PORT' */
  readonly url: string;
  /** 'GET /file 304' of every answered request, in order. */
  readonly requests: string[];
  close(): Promise<void>;
}

export async function startFileServer(
  root: string,
  tls?: { readonly key: string; readonly cert: string },
): Promise<FileServer> {
  const requests: string[] = [];
  const listener = (request: IncomingMessage, response: ServerResponse): void => {
    response.on('close', () => requests.push(`${request.method} ${request.url} ${response.statusCode}`));
    answer(root, request, response, request.url ?? '/');
  };
  const server = tls ? createSecureServer(tls, listener) : createServer(listener);
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const { port } = server.address() as AddressInfo;
  return {
    url: `${tls ? 'https' : 'http'}://127.0.0.1:${port}`,
    requests,
    close: () =>
      new Promise((closed) => {
        server.close(() => closed());
        server.closeAllConnections();
      }),
  };
}

/** How a Buildfile gets to know of the server. */
export function serverArgument(server: FileServer | null): string[] {
  return server === null ? [] : ['--build-arg', `SERVER=${server.url}`];
}

function answer(root: string, request: IncomingMessage, response: ServerResponse, url: string): void {
  const [, way = '', rest = ''] = /^\/([^/?]*)(.*)$/.exec(url) ?? [];
  switch (way) {
    case 'redirect':
      response.writeHead(302, { location: rest }).end();
      return;
    case 'status':
      response.writeHead(Number(rest.slice(1))).end();
      return;
    case 'private':
      if (isAuthorized(request.headers.authorization)) answer(root, request, response, rest);
      else response.writeHead(401, { 'www-authenticate': 'Basic realm="private"' }).end();
      return;
    case 'untold':
    case 'careless':
    case 'cut':
    case 'slow':
      sendFile(join(root, normalize(`/${rest}`)), way, request, response);
      return;
    default:
      if (/\.git\//.test(url)) sendByGit(root, url, request, response);
      else sendFile(join(root, decodeURIComponent(normalize(url.replace(/\?.*/, '')))), 'told', request, response);
  }
}

function isAuthorized(header = ''): boolean {
  const basic = Buffer.from('x-access-token:sesame').toString('base64');
  return ['Bearer sesame', `basic ${basic}`].includes(header);
}

function sendFile(
  path: string,
  way: 'told' | 'untold' | 'careless' | 'cut' | 'slow',
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (!statSync(path, { throwIfNoEntry: false })?.isFile()) {
    response.writeHead(404).end('no such file\n');
    return;
  }
  const bytes = readFileSync(path);
  const etag = `"${createHash('sha256').update(bytes).digest('hex').slice(0, 16)}"`;
  const changed = statSync(path).mtime.toUTCString();
  if (way === 'told' && isKnown(request, etag, changed)) {
    response.writeHead(304, { etag }).end();
    return;
  }
  if (way !== 'untold') response.setHeader('etag', etag);
  if (way === 'told') response.setHeader('last-modified', changed);
  response.setHeader('content-length', bytes.length);
  if (way !== 'cut' && way !== 'slow') {
    response.end(bytes);
    return;
  }
  response.write(bytes.subarray(0, bytes.length / 2));
  if (way === 'cut') setTimeout(() => response.destroy(), 50);
}

function isKnown({ headers }: IncomingMessage, etag: string, changed: string): boolean {
  const asked = headers['if-none-match'];
  return asked === undefined ? headers['if-modified-since'] === changed : asked === etag;
}

/** @see git-http-backend(1), RFC 3875 */
function sendByGit(root: string, url: string, request: IncomingMessage, response: ServerResponse): void {
  const [path = '', query = ''] = url.split('?');
  const git = spawn('git', ['http-backend'], {
    env: {
      PATH: process.env.PATH,
      GIT_PROJECT_ROOT: root,
      GIT_HTTP_EXPORT_ALL: '1',
      PATH_INFO: decodeURIComponent(path),
      QUERY_STRING: query,
      REQUEST_METHOD: request.method,
      CONTENT_TYPE: request.headers['content-type'] ?? '',
      HTTP_CONTENT_ENCODING: request.headers['content-encoding'] ?? '',
      GIT_PROTOCOL: String(request.headers['git-protocol'] ?? ''),
      REMOTE_ADDR: '127.0.0.1',
      GIT_CONFIG_COUNT: '1', // the repository may be another user's
      GIT_CONFIG_KEY_0: 'safe.directory',
      GIT_CONFIG_VALUE_0: '*',
    },
    stdio: ['pipe', 'pipe', 'ignore'],
  });
  request.pipe(git.stdin);
  git.stdin.on('error', () => {});
  let head: Buffer | null = Buffer.alloc(0);
  git.stdout.on('data', (chunk: Buffer) => {
    if (head === null) {
      response.write(chunk);
      return;
    }
    head = Buffer.concat([head, chunk]);
    const end = head.indexOf('\r\n\r\n');
    if (end < 0) return;
    for (const line of head.toString('latin1', 0, end).split('\r\n')) {
      const [name = '', value = ''] = line.split(/: (.*)/);
      if (name === 'Status') response.statusCode = Number.parseInt(value, 10);
      else response.setHeader(name, value);
    }
    response.write(head.subarray(end + 4));
    head = null;
  });
  git.on('close', () => response.end());
}
