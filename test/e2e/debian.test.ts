// A real base system and real packages: Debian, apt with this machine's lists and sources, Python and git.
import { execFileSync } from 'node:child_process';
import { cpSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { debianTar } from '../support/debian-base.js';
import { executed, timed } from '../support/progress.js';
import { installed, isRoot, output, type Person, people, type Result, writeContext } from '../support/tsbuild.js';

const lists = '/var/lib/apt/lists';
const missing = reasonToSkip();

/** The package lists of this machine are those of the base only where both are the same release. */
function reasonToSkip(): string | undefined {
  if (!installed('mmdebstrap')) return 'no mmdebstrap';
  if (!readFileSync('/etc/os-release', 'utf8').includes('VERSION_CODENAME=bookworm')) return 'not Debian 12';
  if (!isRoot && !hasLists()) return 'no package lists, and no root to fetch them';
  return undefined;
}

function hasLists(): boolean {
  return readdirSync(lists).some((name) => name.includes('_Packages'));
}

const python = `
import json, sqlite3, sys, zlib
table = sqlite3.connect(":memory:")
table.execute("create table word (text)")
table.executemany("insert into word values (?)", [(word,) for word in sys.argv[1:]])
count, = table.execute("select count(*) from word").fetchone()
print(json.dumps({"python": sys.version_info[:2], "words": count, "crc": zlib.crc32(b"layer")}))
`;

/** As a user writes it: nothing of apt's lists and sources stays in the image. */
const buildfile = (packages: string): string => `FROM debian:bookworm
RUN --mount=type=bind,from=apt,target=/etc/apt \\
    --mount=type=bind,from=lists,target=${lists} \\
    apt-get install -y --no-install-recommends ${packages}
COPY count.py /app/
ENTRYPOINT ["python3", "/app/count.py"]
CMD ["one", "two"]
`;

/** apt keeps some of its files to root: an ordinary user mounts copies of those that it may read. */
function aptContexts(person: Person): string[] {
  if (person.name === 'root') return ['--build-context', 'apt=/etc/apt', '--build-context', `lists=${lists}`];
  const [apt, copied] = [person.dir('apt'), person.dir('lists')];
  cpSync('/etc/apt', apt, { recursive: true });
  for (const name of readdirSync(lists)) {
    if (name.includes('_dists_')) cpSync(join(lists, name), join(copied, name));
  }
  return ['--build-context', `apt=${person.own(apt)}`, '--build-context', `lists=${person.own(copied)}`];
}

function writeSample(person: Person, packages: string): string {
  const dir = writeContext(person.dir('app'), { Buildfile: buildfile(packages), 'count.py': python }, (path, text) =>
    writeFileSync(path, text),
  );
  return person.own(dir);
}

describe.skipIf(missing)(`on Debian${missing ? ` (skipped: ${missing})` : ''}`, () => {
  beforeAll(() => {
    if (!hasLists()) execFileSync('apt-get', ['update', '-qq']);
  });

  for (const person of people()) {
    const packages = person.name === 'root' ? 'python3 git' : 'python3';

    test(`${person.name} installs ${packages} from this machine's lists and runs a program with them`, async () => {
      const tar = debianTar();
      const imported = person.run(['import', '-t', 'debian:bookworm', tar]);
      output(await timed(`import of the Debian base, by ${person.name}`, () => imported));

      const dir = writeSample(person, packages);
      const contexts = aptContexts(person);
      const build = (): Promise<Result> => person.run(['-t', 'app:1', '--network=host', ...contexts, dir]);
      output(await timed(`apt-get install ${packages}, by ${person.name}`, build));
      const again = await timed(`the same, unchanged, by ${person.name}`, build);
      expect(executed(again.stderr)).toEqual([]);

      const run = async (...args: string[]): Promise<string> => output(await person.run(['run', ...args]));
      expect(JSON.parse(await run('app:1'))).toEqual({ python: [3, 11], words: 2, crc: 3839566106 });
      expect(JSON.parse(await run('app:1', 'only'))).toMatchObject({ words: 1 });
      if (packages.includes('git')) {
        expect(await run('--entrypoint', 'git', 'app:1', '--version')).toMatch(/^git version 2\./);
        const commit =
          'cd /tmp && git init -q r && cd r && git -c user.name=a -c user.email=a@b commit -q --allow-empty -m x';
        expect(await run('--entrypoint', 'sh', 'app:1', '-c', `${commit} && git log --format=%s`)).toBe('x\n');
      }
      // What was mounted is not in the image: the base's own sources and empty lists are.
      const shown = await run('--entrypoint', 'sh', 'app:1', '-c', `ls ${lists}; cat /etc/apt/sources.list`);
      expect(shown).not.toContain('_dists_');
      expect(shown).toContain('bookworm');
    });
  }
});
