// The conformance suite of the OCI distribution specification, all of its workflows, against `tsbuild serve`.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { goProgram } from '../support/go-programs.js';
import { startServer } from '../support/serving.js';
import { output, people } from '../support/tsbuild.js';

const module = 'github.com/opencontainers/distribution-spec/conformance';
const suite = goProgram('oci-conformance', module, 'v0.0.0-20260831232431-97274622c111');
const skipped = suite === null ? ' (skipped: no go, or no module proxy)' : '';
const person = people().at(-1)!;

// The store's digests are sha256: content under sha512 is refused, which the suite counts as failed.
const settings = { OCI_TLS: 'disabled', OCI_DATA_SHA512: 'false' };

for (const version of ['1.1', 'dev']) {
  test.skipIf(suite === null)(
    `conforms to version ${version} of the specification, and leaves a sound store${skipped}`,
    async () => {
      const store = person.dir('conformance');
      const server = await startServer(person, ['--store', store]);
      const dir = person.dir('results');
      const { status, stdout } = spawnSync(suite!, {
        cwd: dir,
        env: { ...settings, OCI_VERSION: version, OCI_REGISTRY: server.name, OCI_RESULTS_DIR: dir },
        encoding: 'utf8',
        timeout: 100_000,
      });
      expect(stdout).not.toMatch(/: +FAIL$/m);
      expect(status).toBe(0);
      const counted = readFileSync(join(dir, 'junit.xml'), 'utf8');
      expect(counted).not.toMatch(/ (failures|errors)="[1-9]/);
      expect(Number(/<testsuites [^>]*tests="(\d+)"/.exec(counted)![1])).toBeGreaterThan(500);
      for (const api of [
        'Tag listing',
        'Blob chunked',
        'Blob anonymous mount',
        'Manifest put with subject',
        'Referrers',
        'Manifest delete atomic',
      ]) {
        expect(stdout).toMatch(new RegExp(`^ *${api}\\.+: +Pass$`, 'm'));
      }
      expect(await server.end('SIGTERM')).toBe(0);
      expect(output(await person.run(['fsck', '--read-data', '--store', store]))).toMatch(/no problems/);
      output(await person.run(['images', '--all', '--store', store]));
    },
  );
}
