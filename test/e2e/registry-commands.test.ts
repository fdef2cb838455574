// push, pull and referrers as a person types them: annotations, digest files, progress, and what a terminal is spared.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hasRegistry, startRegistry, startScripted } from '../store/transport-server.js';
import { installed, output, people } from '../support/tsbuild.js';

for (const person of people().slice(0, 1)) {
  const app = async (): Promise<void> => {
    const dir = person.dir('context');
    writeFileSync(join(dir, 'Buildfile'), 'FROM scratch\nCOPY Buildfile /\n');
    output(await person.run(['-q', '-t', 'app:1', person.own(dir)]));
  };

  describe.skipIf(!hasRegistry())('against docker-registry', () => {
    test('push annotates, writes the digest to a file, and tells a program how it goes', async () => {
      await app();
      const registry = await startRegistry();
      const name = `${registry.name}/app:1`;
      const file = join(person.home, 'digest');
      const annotated = ['--annotation', 'org.example.a=1=2', '--annotation', 'manifest:org.example.b=x'];
      const pushed = await person.run(['push', '-q', '--digestfile', file, ...annotated, 'app:1', name]);
      const digest = output(pushed).trim();
      expect(readFileSync(file, 'utf8')).toBe(digest);
      const manifest = await (
        await fetch(`http://${registry.name}/v2/app/manifests/${digest}`, {
          headers: { accept: 'application/vnd.oci.image.manifest.v1+json' },
        })
      ).json();
      expect(manifest).toMatchObject({ annotations: { 'org.example.a': '1=2', 'org.example.b': 'x' } });

      const json = await person.run(['pull', '--progress=json', '--store', join(person.home, 'other'), name]);
      const lines = json.stderr
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(lines.at(-1)).toMatchObject({ v: 1, type: 'transfer-done', blobs: 1 });
      expect((await person.run(['push', '--annotation', 'nothing', 'app:1', name])).stderr).toContain('KEY=VALUE');
      expect((await person.run(['push', '--annotation', 'a=b', 'app:1', 'oci:/tmp/x'])).stderr).toContain('registries');
    });

    test('plain progress names each layer and the rate of all, a terminal gets it in place', async () => {
      await app();
      const registry = await startRegistry();
      const { stderr } = await person.run(['push', 'app:1', `${registry.name}/app:1`]);
      expect(stderr).toMatch(/^[0-9a-f]{12}: done \d+B, .*B\/s$/m);
      expect(stderr).toMatch(/^1 blob, \d+B in [\d.]+s, .*B\/s$/m);
      if (!installed('script')) return;
      const inTerminal = execFileSync(
        'script',
        ['-qec', `bin/tsbuild pull --store ${join(person.home, 'live')} ${registry.name}/app:1`, '/dev/null'],
        { encoding: 'utf8', env: { ...process.env, TERM: 'xterm' } },
      );
      expect(inTerminal).toMatch(/[0-9a-f]{12}: done .*B\/s\r\n1 blob, /);
    });

    test('referrers lists what is attached, as a table or as JSON', async () => {
      await app();
      const registry = await startRegistry();
      const digest = output(await person.run(['push', '-q', 'app:1', `${registry.name}/app:1`])).trim();
      expect((await person.run(['referrers', `${registry.name}/app:1`])).stderr).toBe(`nothing refers to ${digest}\n`);
      const url = `http://${registry.name}/v2/app/manifests`;
      const index = {
        schemaVersion: 2,
        mediaType: 'application/vnd.oci.image.index.v1+json',
        manifests: [],
        artifactType: 'application/x-\u001b[31mred',
        subject: { mediaType: 'application/vnd.oci.image.manifest.v1+json', digest, size: 1 },
      };
      const body = JSON.stringify(index);
      const put = (tag: string, text: string) =>
        fetch(`${url}/${tag}`, { method: 'PUT', headers: { 'content-type': index.mediaType }, body: text });
      const attached = (await put('attached', body)).headers.get('docker-content-digest');
      const entry = {
        mediaType: index.mediaType,
        digest: attached,
        size: body.length,
        artifactType: index.artifactType,
      };
      await put(
        digest.replace(':', '-'),
        JSON.stringify({ ...index, manifests: [entry], artifactType: undefined, subject: undefined }),
      );

      const listed = output(await person.run(['referrers', `${registry.name}/app:1`]));
      expect(listed).toContain(`${attached}   application/x- [31mred`);
      expect(listed).not.toContain('\u001b');
      const json = JSON.parse(
        output(await person.run(['referrers', '--format=json', `${registry.name}/app@${digest}`])),
      );
      expect(json).toMatchObject({ subject: digest, from: 'tag', manifests: [{ digest: attached }] });
    });
  });

  test('--retry says how often, and what a registry says is shown without its escapes', async () => {
    const registry = await startScripted((request, response) => {
      if (request.url === '/v2/') return void response.end('{}');
      response
        .writeHead(429, { 'retry-after': '0' })
        .end('{"errors":[{"code":"TOOMANYREQUESTS","message":"slow\\u001b[31m down\\u0007"}]}');
    });
    const { code, stderr } = await person.run(['pull', '--retry', '2', `${registry.name}/app:1`]);
    expect(code).toBe(1);
    expect(registry.requests.filter(({ url }) => url?.includes('/manifests/'))).toHaveLength(3);
    expect(stderr).toMatch(
      /^error\[REGISTRY_RATE_LIMITED\]: GET .*\/app\/manifests\/1: HTTP 429: TOOMANYREQUESTS slow \[31m down$/m,
    );
    expect(stderr).toMatch(/limits how often it is asked; it asks to wait 0 s; no login was sent/);
    expect(stderr).not.toContain('\u001b');
    expect((await person.run(['pull', '--retry', 'x', 'localhost:1/a'])).stderr).toContain('--retry x is no number');
  });
}
