// Build checks where they meet the world: a registry that has the base, progress as JSON, a store that stays as it was.
import { readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { output, people } from '../support/tsbuild.js';

const noRegistry = hasRegistry() ? null : 'docker-registry is not installed';

for (const person of people()) {
  const project = (name: string, text: string): string => {
    const cwd = person.dir(name);
    writeFileSync(join(cwd, 'Buildfile'), text);
    return cwd;
  };

  describe(`as ${person.name}`, () => {
    test.skipIf(noRegistry)(
      '--check knows the variables of a base in a registry, and fetches no layer of it',
      async () => {
        const registry = await startRegistry();
        const ref = `${registry.name}/env:1`;
        const made = project('made', 'FROM scratch\nENV FROM_BASE=x\nCOPY Buildfile /\n');
        output(await person.run(['-q', '-t', ref, '.'], { cwd: made }));
        output(await person.run(['push', ref, ref]));
        const cwd = project('checked', `FROM ${ref}\nCOPY $FROM_BASE $FROM_BSAE /x/\n`);
        const store = join(person.dir('store'), 'other');
        const { code, stdout, stderr } = await person.run(['--store', store, '--check', '.'], { cwd });
        expect(stderr).toBe('');
        expect(stdout).toContain("Usage of undefined variable '$FROM_BSAE' (did you mean $FROM_BASE?)");
        expect(stdout).not.toContain("'$FROM_BASE'");
        expect(code).toBe(1);
        expect(
          output(await person.run(['--store', store, 'images']))
            .trim()
            .split('\n'),
        ).toHaveLength(1);
        for (const part of ['blobs/sha256', 'layers/sha256']) expect(readdirSync(join(store, part))).toEqual([]);
      },
    );

    test.skipIf(noRegistry)('an image that its registry does not have is an error, after what was found', async () => {
      const registry = await startRegistry();
      const cwd = project('missing', `FROM ${registry.name}/none:1 AS Base\n`);
      const { code, stdout, stderr } = await person.run(['--check', '.'], { cwd });
      expect(stdout).toContain('WARNING: StageNameCasing');
      expect(stderr).toContain('error[REGISTRY_NOT_FOUND]');
      expect(stderr).toContain('--> Buildfile:1:6');
      expect(code).toBe(1);
    });

    test('with --progress=json findings are warnings with rule, place and explanation', async () => {
      const cwd = project('json', 'FROM scratch\nWORKDIR app\n');
      const { stderr } = await person.run(['--progress=json', '.'], { cwd });
      const events = stderr
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line));
      expect(events.find(({ type }) => type === 'warning')).toMatchObject({
        code: 'WorkdirRelativePath',
        message: 'Relative workdir "app" can have unexpected results if the base image changes',
        at: { file: 'Buildfile', line: 2, column: 9 },
        hint: 'write an absolute path',
        check: { url: 'https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/' },
      });
    });

    test('-q tells of nothing, and --call builds nothing', async () => {
      const cwd = project('quiet', 'FROM scratch\nWORKDIR app\nRUN ["/no-such-program"]\n');
      for (const method of ['check', 'outline', 'targets']) {
        const { stderr } = await person.run([`--call=${method}`, '-t', 'never:1', '.'], { cwd });
        expect(stderr).toBe('');
      }
      expect(output(await person.run(['images']))).not.toContain('never');
      const built = await person.run(['-q', '-f', '-', '.'], { cwd, input: 'FROM scratch\nWORKDIR app\n' });
      expect(built.stderr).toBe('');
    });
  });
}
