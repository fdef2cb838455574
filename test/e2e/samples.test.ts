// The samples in builds/, built and run as their reader would; then what later builds may and may not repeat.
import { cpSync, existsSync, readdirSync, readFileSync, utimesSync, writeFileSync } from 'node:fs';
import { machine } from 'node:os';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { debianTar } from '../support/debian-base.js';
import { executed, timed } from '../support/progress.js';
import { installed, output, type Person, people, type Result } from '../support/tsbuild.js';

const samples = readdirSync('builds');
const hasDebian = installed('mmdebstrap');

const expected = (sample: string): string =>
  readFileSync(join('builds', sample, 'expected-output'), 'utf8').replaceAll('@MACHINE@', machine());
const wantsDebian = (sample: string): boolean =>
  /^FROM debian/m.test(readFileSync(join('builds', sample, 'Buildfile'), 'utf8'));

/** How whoever runs the tests reaches the npm registry; both may be absent. */
function secrets(sample: string): string[] {
  if (sample !== 'node-service') return [];
  const npmrc = join(process.env.HOME ?? '/nonexistent', '.npmrc');
  const certificates = process.env.SSL_CERT_FILE;
  return [
    ...(existsSync(npmrc) ? ['--secret', `id=npmrc,src=${npmrc}`] : []),
    ...(certificates ? ['--secret', `id=ca,src=${certificates}`] : []),
  ];
}

function copyOf(person: Person, sample: string): string {
  const dir = person.dir(sample);
  cpSync(join('builds', sample), dir, { recursive: true });
  return person.own(dir);
}

async function build(person: Person, sample: string, dir: string, args: readonly string[] = []): Promise<Result> {
  const result = await person.run([...['-f', join(dir, 'Buildfile')], '-t', sample, ...secrets(sample), ...args, dir]);
  output(result);
  return result;
}

const digestOf = ({ stderr }: Result): string | undefined => /^built (sha256:[0-9a-f]{64})/m.exec(stderr)?.[1];

interface Change {
  readonly sample: string;
  readonly what: string;
  /** A file of the context: text to replace, and by what. */
  readonly edit?: readonly [file: string, text: string, by: string];
  readonly args?: readonly string[];
  /** The steps that it may execute again, and no others. */
  readonly repeats: readonly string[];
  readonly prints: string;
}

const changes: readonly Change[] = [
  {
    sample: 'hello',
    what: 'another build argument',
    args: ['--build-arg', 'NAME=you'],
    repeats: ['RUN chmod 0755 greet.sh && uname -m > machine'],
    prints: `hello, you, from a container on ${machine()}\n`,
  },
  {
    sample: 'hello',
    what: 'another script',
    edit: ['greet.sh', 'hello', 'good morning'],
    repeats: ['COPY greet.sh .', 'RUN chmod 0755 greet.sh && uname -m > machine'],
    prints: `good morning, world, from a container on ${machine()}\n`,
  },
  {
    sample: 'hello',
    what: 'a comment more',
    edit: ['Buildfile', 'FROM', '# Changes nothing.\nFROM'],
    repeats: [],
    prints: expected('hello'),
  },
  {
    sample: 'python-app',
    what: 'another text',
    edit: ['words.txt', 'layer', 'tar'],
    repeats: ['COPY --chown=app words.py words.txt ./'],
    prints: 'app counted a 4, tar 4, is 2\n',
  },
  {
    sample: 'node-service',
    what: 'another server',
    edit: ['server.js', 'hello, ', 'welcome, '],
    repeats: ['COPY server.js ./', 'COPY --from=build /app ./'],
    prints: 'welcome, world, from express\n',
  },
  {
    sample: 'c-scratch',
    what: 'another comment in the C, which compiles to the same program',
    edit: ['primes.c', 'Prints the', 'Says which'],
    repeats: ['COPY primes.c .', 'RUN gcc -O2 -Wall -Werror -static -o /primes primes.c && strip /primes'],
    prints: expected('c-scratch'),
  },
];

for (const person of people()) {
  // The ordinary user builds the one that needs no network; root has them all.
  const mine = person.name === 'root' ? samples : ['hello'];

  describe(`${person.name} builds`, () => {
    const first = new Map<string, Result>();
    beforeAll(async () => {
      if (mine.some(wantsDebian) && hasDebian)
        output(await person.run(['import', '-t', 'debian:bookworm', debianTar()]));
    });

    for (const sample of mine) {
      const missing = wantsDebian(sample) && !hasDebian;
      const reason = missing ? ' (skipped: no mmdebstrap)' : '';

      test.skipIf(missing)(`${sample}, which prints what it should${reason}`, async () => {
        const result = await timed(`${sample}, by ${person.name}`, () => build(person, sample, copyOf(person, sample)));
        expect(executed(result.stderr)).not.toEqual([]);
        expect(output(await person.run(['run', sample]))).toBe(expected(sample));
        first.set(sample, result);
      });

      test.skipIf(missing)(
        `${sample} again, from elsewhere with other times, and nothing is executed${reason}`,
        async () => {
          const dir = copyOf(person, sample);
          for (const name of readdirSync(dir)) utimesSync(join(dir, name), 1e9, 1e9);
          const again = await build(person, sample, dir);
          expect(executed(again.stderr)).toEqual([]);
          expect(digestOf(again)).toBe(digestOf(first.get(sample)!));
        },
      );

      for (const { what, edit, args, repeats, prints } of changes.filter((change) => change.sample === sample)) {
        test.skipIf(missing)(`${sample} with ${what}, and what depends on it is executed${reason}`, async () => {
          const dir = copyOf(person, sample);
          if (edit) {
            const [file, text, by] = edit;
            const before = readFileSync(join(dir, file), 'utf8');
            expect(before).toContain(text);
            writeFileSync(join(dir, file), before.replaceAll(text, by));
          }
          const changed = await build(person, sample, dir, args);
          expect(executed(changed.stderr)).toEqual(repeats);
          expect(output(await person.run(['run', sample]))).toBe(prints);
        });
      }
    }
  });
}
