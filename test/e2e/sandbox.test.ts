// What a build says of the container of its steps, where it depends on the machine: limits, cgroups, rights.
import assert from 'node:assert';
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'vitest';
import { type Person, people } from '../support/tsbuild.js';

const base = 'FROM host://sh,coreutils,mount,unshare\n';

for (const person of people()) {
  describe(`as ${person.name}`, () => {
    const build = (buildfile: string, ...args: string[]) =>
      person.run([...args, '.'], { cwd: context(person, base + buildfile) });

    test('a limit above what the machine gives is refused with the hard limit', async () => {
      const { code, stderr } = await build('RUN true\n', '--ulimit', 'nofile=100000000000');
      assert.equal(code, 1);
      assert.match(
        stderr,
        /^error\[LAUNCH_LIMIT\]: could not set the limit nofile=100000000000 \(its hard limit is \d+\): operation not permitted\n --> Buildfile:2:1$/m,
      );
      assert.match(stderr, /^help: give --ulimit no more than the hard limit, or raise that first/m);
    });

    const mayRaise = person.name === 'root' && hasCapability(24);
    test.skipIf(!mayRaise)('root raises hard limits of steps (needs CAP_SYS_RESOURCE)', async () => {
      const files = Number(/^Max open files +\d+ +(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1]) + 1;
      const { stderr } = await build(
        'RUN ulimit -Hn; ulimit -Hc\n',
        '--ulimit',
        `nofile=9:${files}`,
        '--ulimit',
        'core=-1',
      );
      assert.match(stderr, new RegExp(`^#2 [\\d.]+ ${files}$`, 'm'));
      assert.match(stderr, /^#2 [\d.]+ unlimited$/m);
    });

    test('steps may mount and make namespaces with --security=insecure, and not without', async () => {
      const step = "mount -t tmpfs none /mnt && touch /mnt/x && unshare -m sh -c 'mount -t proc proc /mnt; echo inner'";
      const allowed = await build(
        `RUN mkdir /mnt && chown 5 /mnt\nRUN --security=insecure ${step}\nUSER 5\nRUN --security=insecure unshare -m echo inner\n`,
        '--allow',
        'security.insecure',
      );
      assert.equal(allowed.code, 0, allowed.stderr);
      assert.equal(allowed.stderr.match(/^#\d+ [\d.]+ inner$/gm)?.length, 2);
      const refused = await build(`RUN mkdir /mnt\nRUN ${step}\n`);
      assert.match(refused.stderr, /^#3 [\d.]+ mount: .*permission denied/m);
    });

    test('what steps of --security=insecure may not is what a user of the machine may not', async () => {
      const { stderr } = await build(
        'RUN --security=insecure for f in /proc/sys/kernel/domainname /proc/sys/vm/drop_caches /sys/kernel/mm/ksm/run; do ' +
          'if [ -e $f ]; then (echo 3 > $f) 2>/dev/null && echo "wrote $f"; fi; done; mknod /null c 1 3 2>/dev/null && echo made; true\n',
        '--allow',
        'security.insecure',
      );
      assert.doesNotMatch(stderr, /^#2 [\d.]+ (wrote \/proc\/sys\/vm|wrote \/sys|made)/m);
    });

    const hierarchy = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup'].find((dir) => existsSync(join(dir, 'cgroup.procs')));
    test.skipIf(hierarchy === undefined)('--cgroup-parent puts steps where it says, or refuses', async () => {
      const name = `tsbuild-test-parent-${process.pid}`;
      const parent = join(hierarchy!, name);
      const step = 'RUN cat /proc/self/cgroup\n';
      if (person.name === 'user') {
        const { code, stderr } = await build(step, '--cgroup-parent', `/${name}`);
        assert.equal(code, 1);
        assert.match(
          stderr,
          new RegExp(`^error\\[CGROUP_PARENT\\]: steps can't be put below the cgroup /${name}: `, 'm'),
        );
        return;
      }
      try {
        const { code, stderr } = await build(`RUN true\n`, '--cgroup-parent', name);
        assert.equal(code, 0, stderr);
        assert.deepEqual(
          readdirSync(parent, { withFileTypes: true }).filter((entry) => entry.isDirectory()),
          [],
        );
      } finally {
        execFileSync('rmdir', [parent]);
      }
    });

    test('what steps write into a writable mount of the context never reaches it', async () => {
      const cwd = context(
        person,
        `${base}RUN --mount=target=/c,rw rm -r /c/dir; echo changed > /c/file; touch /c/new; chmod 700 /c\n`,
      );
      mkdirSync(join(cwd, 'dir'));
      writeFileSync(join(cwd, 'dir/inside'), 'inside');
      writeFileSync(join(cwd, 'file'), 'as it was');
      person.own(cwd);
      const before = execFileSync('find', [cwd, '-printf', '%p %m %s %T@ %C@\n'], { encoding: 'utf8' });
      const { code, stderr } = await person.run(['.'], { cwd });
      assert.equal(code, 0, stderr);
      assert.equal(execFileSync('find', [cwd, '-printf', '%p %m %s %T@ %C@\n'], { encoding: 'utf8' }), before);
      assert.deepEqual(readdirSync(join(person.store, 'tmp')), []);
    });

    test('many ignored files are hidden', async () => {
      const cwd = context(person, `${base}RUN --mount=target=/c ls /c/many | wc -l && ls -A /c\n`);
      mkdirSync(join(cwd, 'many'));
      for (let i = 0; i < 5000; i++) writeFileSync(join(cwd, `many/${i}.${i % 5 === 0 ? 'js' : 'o'}`), '');
      writeFileSync(join(cwd, '.dockerignore'), '**/*.o\n.dockerignore\n');
      const { stderr } = await person.run(['.'], { cwd: person.own(cwd) });
      assert.match(stderr, /^#2 [\d.]+ 1000\n#2 [\d.]+ Buildfile\n#2 [\d.]+ many\n#2 DONE/m);
    });
  });
}

function hasCapability(number: number): boolean {
  const mask = /^CapEff:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  return (BigInt(`0x${mask}`) >> BigInt(number)) % 2n === 1n;
}

function context(person: Person, buildfile: string): string {
  const dir = person.dir('context');
  writeFileSync(join(dir, 'Buildfile'), buildfile);
  return person.own(dir);
}
