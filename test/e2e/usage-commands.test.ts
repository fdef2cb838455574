// tsbuild df: what it says of a store against what du(1) says, as whoever asks.
import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { output, type Person, people } from '../support/tsbuild.js';

interface Usage {
  readonly totalBytes: number;
  readonly parts: Readonly<Record<string, number>>;
  readonly images: readonly { readonly references: readonly string[]; readonly logicalBytes: number }[];
  readonly layers?: readonly { readonly diffId: string; readonly images: readonly string[] }[];
  readonly cache?: readonly { readonly id: string }[];
}

function context(person: Person, steps: string): string {
  const cwd = person.dir('context');
  writeFileSync(join(cwd, 'Buildfile'), `FROM host://sh,coreutils\n${steps}\n`);
  return person.own(cwd);
}

/** As the person sees it; what is closed to them is left out, and du ends with 1. */
function du(person: Person): number {
  const { uid, gid } = statSync(person.home);
  const script = 'du -s --block-size=1 "$0" 2>/dev/null || true';
  const text = execFileSync('sh', ['-c', script, person.store], { uid, gid, encoding: 'utf8' });
  return Number(text.split('\t')[0]);
}

async function df(person: Person, ...args: readonly string[]): Promise<Usage> {
  return JSON.parse(output(await person.run(['df', '--format', 'json', ...args]))) as Usage;
}

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    test('df agrees with du after builds of odd files, and tells layers and the cache apart', async () => {
      const odd =
        'RUN --mount=type=cache,target=/c mkdir -m 700 /closed; echo x > /closed/f; chown 5:5 /closed; ' +
        'truncate -s 30M /sparse; head -c 300000 /dev/urandom > /a; ln /a /b; head -c 50000 /dev/urandom > /c/z; ln -f /c/z /c/zz';
      const cwd = context(person, `${odd}\nRUN echo two > /two`);
      output(await person.run(['-t', 'odd:1', '-t', 'odd:2', '.'], { cwd }));
      output(await person.run(['save', '--format', 'oci-archive', '-o', join(cwd, 'odd.tar'), 'odd:1']));
      output(await person.run(['.'], { cwd, env: { TSBUILD_FORM: 'tree' } }));
      output(await person.run(['--no-cache', '.'], { cwd, env: { TSBUILD_FORM: 'tree' } }));
      const usage = await df(person);
      assert.equal(usage.totalBytes, du(person));
      assert.equal(
        Object.values(usage.parts).reduce((sum, bytes) => sum + bytes, 0),
        usage.totalBytes,
      );
      assert(usage.parts.cacheMountBytes! >= 50_000, JSON.stringify(usage));
      const image = usage.images.find(({ references }) => references.length === 2);
      assert.deepEqual(image?.references, ['docker.io/library/odd:1', 'docker.io/library/odd:2']);
      assert.equal(usage.layers, undefined);
      const all = await df(person, '-v');
      assert(all.layers!.length >= 3 && all.cache!.length >= 3, JSON.stringify(all));
      assert(all.layers!.some(({ images }) => images.length > 1));

      const text = output(await person.run(['df', '-v']));
      assert.match(text, /^IMAGE +SIZE +SHARED +OWN +CACHED +LAYERS +FORMS +BLOBS$/m);
      assert.match(text, /^odd:1, odd:2 /m);
      assert.match(text, /^LAYER +SIZE +TAR +INDEX +TREE +COMPRESSED +USED BY$/m);
      assert.match(text, /^[0-9a-f]{12} .*odd:1, odd:2.*\(build cache\)$/m);
      assert.match(text, /^total +\S+[kMG]B$/m);
    });

    test('df --duplicates tells what lies in several layers', async () => {
      const steps =
        'RUN head -c 400000 /dev/zero > /zeros; ln /zeros /linked\nRUN cp /zeros /copy; echo x > /small\nRUN cp /zeros /third; echo x > /again';
      const env = { TSBUILD_STORE: join(person.dir('store'), 's') };
      output(await person.run(['-q', '-t', 'twice:1', '.'], { env, cwd: context(person, steps) }));
      const df = async (...args: string[]): Promise<string> =>
        output(await person.run(['df', '--duplicates', ...args], { env }));
      const text = await df('--min-size', '100');
      assert.match(text, /^WASTED +FILES +EACH +WHERE\n800kB +3 +400kB +\w+ \(\w{12} of twice:1\) and 2 more$/m);
      assert.match(text, /^2 of \d+ files in 4 layers lie there again: 800kB$/m);
      const places = await df('--verbose', '--top', '1');
      for (const path of ['(zeros|linked)', 'copy', 'third']) {
        assert.match(places, new RegExp(`${path} \\(\\w{12} of twice:1\\)$`, 'm'));
      }
      const found = JSON.parse(await df('--format', 'json')) as { wastedBytes: number; groups: { bytes: number }[] };
      assert.equal(found.wastedBytes, 800_002);
      assert.deepEqual(
        found.groups.map(({ bytes }) => bytes),
        [400_000, 2],
      );
      for (const wrong of [
        ['--top', 'all'],
        ['--min-size', 'big'],
      ]) {
        const { code, stderr } = await person.run(['df', '--duplicates', ...wrong], { env });
        assert.equal(code, 2);
        assert.match(stderr, /^error\[USAGE\]: --(top all is no number|min-size big is no size)/);
      }
    });
  });
}
