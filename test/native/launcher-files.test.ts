// What a step has for files: its root, its mounts, and what stays of it. Real steps, as root and as an ordinary user.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { rawPath, walkTree } from '../../native/index.js';
import { isRoot, type Lab, lines, shell, useLabs } from './step-lab.js';

for (const lab of await useLabs()) {
  describe(`a step as ${lab.name}`, () => {
    describeRoot(lab);
    describeMounts(lab);
    describeStacks(lab);
    describeUpper(lab);
  });
}

function describeRoot(lab: Lab): void {
  test('nothing of the host is mounted, and the root is the top', async () => {
    const mounts = await lines(lab, 'while read -r _ _ _ _ point _; do echo $point; done </proc/self/mountinfo');
    expect(mounts.filter((point) => !/^\/(|proc(\/.*)?|sys(\/.*)?|dev(\/.*)?)$/.test(point))).toEqual([]);
    expect(await lines(lab, 'cd /..; cd ../../..; pwd; ls -d /.. /home /root 2>/dev/null; :')).toEqual(['/', '/..']);
  });

  test('/dev holds the usual and nothing else', async () => {
    const names = 'fd full null ptmx pts random shm stderr stdin stdout tty urandom zero'.split(' ');
    expect(await lines(lab, 'ls /dev')).toEqual(names);
    const works =
      'echo x >/dev/null; head -c3 /dev/zero | wc -c; head -c4 /dev/urandom | wc -c; echo x 2>/dev/null >/dev/full || echo full; touch /dev/shm/x; stat -c %t,%T /dev/null';
    expect(await lines(lab, works)).toEqual(['3', '4', 'full', '1,3']);
  });

  test('shared memory has the size asked for', async () => {
    const { stderr } = await shell(lab, 'dd if=/dev/zero of=/dev/shm/x bs=1M count=3', { shmSizeBytes: 1 << 20 });
    expect(stderr).toContain('No space left');
  });

  test('what tells about the host is hidden, what steers it is read-only', async () => {
    const script = [
      'for f in interrupts keys timer_list kcore sysrq-trigger latency_stats sched_debug timer_stats; do if [ -e /proc/$f ]; then cat /proc/$f 2>/dev/null | wc -c; fi; done | sort -u',
      'for d in /proc/acpi /proc/asound /proc/scsi /sys/firmware /sys/devices/virtual/powercap; do if [ -e $d ]; then ls $d; fi; done',
      'for f in /proc/sys/kernel/domainname /proc/irq/default_smp_affinity /sys/kernel/profiling; do if [ -e $f ]; then (echo x >$f) 2>/dev/null && echo "$f written"; fi; done; :',
    ];
    expect(await lines(lab, script.join('\n'))).toEqual(['0']);
  });

  test('an empty stack of layers works: only what the step brings is there', async () => {
    const outcome = await lab.run({
      layers: [],
      args: ['/tools/busybox', 'ls', '/'],
      mounts: [{ kind: 'bind', root: lab.base, path: rawPath('bin'), target: '/tools', readonly: true }],
    });
    expect(outcome.stdout).toBe('dev\nproc\nsys\ntools\n');
    expect(outcome.upper).toEqual([]);
  });

  test('as many layers as OverlayFS takes are stacked, the last on top', async () => {
    const layers = [lab.base, ...numberedLayers(lab, 497)].map((dir) => ({ kind: 'tree', dir }) as const);
    const shown = await lines(lab, 'cat /top; ls /many | wc -l', { layers });
    expect(shown).toEqual(['497', '497']);
  });

  test('a layer may occur more than once', async () => {
    const twice = lab.layer((dir) => writeFileSync(join(dir, 'file'), 'twice\n'));
    const between = lab.layer((dir) => writeFileSync(join(dir, 'file'), 'between\n'));
    const layers = [lab.base, twice, between, twice].map((dir) => ({ kind: 'tree', dir }) as const);
    expect(await lines(lab, 'cat /file', { layers })).toEqual(['twice']);
    expect(await lines(lab, 'cat /file', { layers: layers.slice(0, 3) })).toEqual(['between']);
  });

  test('more layers than that are refused before anything is done', async () => {
    const layers = Array.from({ length: 499 }, (_, i) => ({ kind: 'tree', dir: `${lab.dir}/${i}` }) as const);
    expect((await lab.run({ layers })).error).toMatchObject({ code: 'LAUNCH_LAYERS' });
  });

  test('the root directory has the attributes of the layer below', async () => {
    const layer = lab.layer((dir) => chmodSync(dir, 0o1711));
    expect(
      await lines(lab, 'stat -c %a /', { layers: [lab.base, layer].map((dir) => ({ kind: 'tree', dir })) }),
    ).toEqual(['1711']);
  });
}

function describeMounts(lab: Lab): void {
  const bytes = (target: string, text = 'hello\n') =>
    ({ kind: 'bytes', bytes: Buffer.from(text), target, mode: 0o640, uid: 5, gid: 6 }) as const;

  test('a file from memory has its content, mode and owner, and is read-only', async () => {
    const mounts = [bytes('/etc/resolv.conf'), bytes('/run/secrets/token', '\0\n\xff')];
    const shown = await lines(
      lab,
      'cat /etc/resolv.conf; stat -c "%a %u %g" /run/secrets/token; wc -c </run/secrets/token; (echo x >>/etc/resolv.conf) 2>/dev/null || echo readonly',
      { mounts },
    );
    expect(shown).toEqual(['hello', '640 5 6', '4', 'readonly']);
  });

  test('a read-only bind can be read, not written', async () => {
    const source = lab.layer((dir) => writeFileSync(join(dir, 'file'), 'content\n'));
    const mounts = [{ kind: 'bind', root: source, path: rawPath(''), target: '/src', readonly: true }] as const;
    const shown = await lines(
      lab,
      'cat /src/file; for t in "echo x >/src/file" "rm /src/file" "touch /src/new" "mkdir /src/d" "chmod 777 /src"; do sh -c "$t" 2>/dev/null && echo "$t worked"; done; :',
      { mounts },
    );
    expect(shown).toEqual(['content']);
    expect(readdirSync(source)).toEqual(['file']);
  });

  test("a writable bind keeps what was written, with the image's owners on disk", async () => {
    const source = lab.layer(() => {});
    const mounts = [{ kind: 'bind', root: source, path: rawPath(''), target: '/cache', readonly: false }] as const;
    await lines(lab, 'echo kept >/cache/file; chown 0:0 /cache/file', { mounts });
    const { uid, gid } = statSync(join(source, 'file'));
    expect([readFileSync(join(source, 'file'), 'utf8'), uid, gid]).toEqual(['kept\n', lab.uid, lab.gid]);
  });

  test('one file can be bound', async () => {
    const source = lab.layer((dir) => writeFileSync(join(dir, 'file'), 'content\n'));
    const mounts = [{ kind: 'bind', root: source, path: rawPath('file'), target: '/etc/one', readonly: true }] as const;
    expect(await lines(lab, 'cat /etc/one', { mounts })).toEqual(['content']);
  });

  test('symlinks in the source of a bind lead nowhere outside its root', async () => {
    writeFileSync(join(lab.dir, 'canary'), 'outside');
    const source = lab.layer((dir) => {
      symlinkSync('/', join(dir, 'root'));
      symlinkSync('../../../..', join(dir, 'up'));
      symlinkSync(join(lab.dir, 'canary'), join(dir, 'file'));
      writeFileSync(join(dir, 'inside'), '');
    });
    for (const path of ['root', 'up']) {
      const mounts = [{ kind: 'bind', root: source, path: rawPath(path), target: '/src', readonly: true }] as const;
      expect(await lines(lab, 'ls /src', { mounts })).toEqual(['file', 'inside', 'root', 'up']);
    }
    const mounts = [{ kind: 'bind', root: source, path: rawPath('file'), target: '/src', readonly: true }] as const;
    expect((await lab.run({ mounts })).error).toMatchObject({ code: 'LAUNCH_BIND', errno: 'ENOENT' });
  });

  test('a tmpfs is empty, writable, limited and gone afterwards', async () => {
    const mounts = [
      { kind: 'tmpfs', target: '/bin/scratch', sizeBytes: 1 << 20 },
      { kind: 'tmpfs', target: '/tmp' },
    ] as const;
    const shown = await lines(
      lab,
      'ls /bin/scratch; touch /bin/scratch/a /tmp/b; dd if=/dev/zero of=/bin/scratch/big bs=1M count=2 2>/dev/null || echo full',
      { mounts },
    );
    expect(shown).toEqual(['full']);
    expect((await lab.run({ mounts })).upper).toEqual([]);
  });

  test('a mount inside an earlier mount works', async () => {
    const mounts = [
      { kind: 'tmpfs', target: '/a/b' },
      bytes('/a/b/c/d'),
      { kind: 'tmpfs', target: '/dev/shm/deep' },
    ] as const;
    expect(await lines(lab, 'cat /a/b/c/d', { mounts })).toEqual(['hello']);
  });

  test('no mount point stays in the result', async () => {
    const mounts = [
      bytes('/etc/resolv.conf'),
      bytes('/etc/hosts'),
      { kind: 'tmpfs', target: '/var/cache/deep/er' },
    ] as const;
    expect((await lab.run({ mounts })).upper).toEqual([]);
    expect((await shell(lab, 'touch /etc/mine /var/cache/also', { mounts })).upper).toEqual([
      'etc',
      'etc/mine',
      'var',
      'var/cache',
      'var/cache/also',
    ]);
  });

  test('mount points are supplied where the image removed them or leads to a missing place', async () => {
    const removed = lab.layer((dir) => mkdirSync(join(dir, 'etc')));
    const below = lab.layer((dir) => {
      mkdirSync(join(dir, 'etc'), { mode: 0o711 });
      mkdirSync(join(dir, 'run'));
      symlinkSync('../run/resolve/stub.conf', join(dir, 'etc/resolv.conf'));
      symlinkSync('/var/hosts', join(dir, 'etc/hosts'));
      writeFileSync(join(dir, 'etc/removed'), '');
    });
    if (isRoot) execFileSync('mknod', [join(removed, 'etc/removed'), 'c', '0', '0']);
    chmodSync(join(removed, 'etc'), 0o711);
    const layers = [lab.base, below, removed].map((dir) => ({ kind: 'tree', dir }) as const);
    const mounts = [bytes('/etc/resolv.conf'), bytes('/etc/hosts'), bytes('/etc/removed')] as const;
    const outcome = await shell(
      lab,
      'cat /etc/resolv.conf /run/resolve/stub.conf /var/hosts /etc/removed; stat -c %a /etc',
      { layers, mounts },
    );
    expect(outcome).toMatchObject({ stdout: 'hello\nhello\nhello\nhello\n711\n', upper: [] });
  });

  test('a mount over a part of /proc or /sys is refused', async () => {
    const layer = lab.layer((dir) => symlinkSync('/proc/self/attr', join(dir, 'lnk')));
    const layers = [lab.base, layer].map((dir) => ({ kind: 'tree', dir }) as const);
    for (const target of ['/proc', '/proc/sys', '/sys/kernel', '/lnk']) {
      const { error } = await lab.run({ layers, mounts: [{ kind: 'tmpfs', target }] });
      expect(error).toMatchObject({ code: 'LAUNCH_MOUNT', errno: 'EPERM' });
    }
  });
}

function describeStacks(lab: Lab): void {
  const tree = (dir: string) => ({ kind: 'tree', dir }) as const;
  const show = (stack: number, path: string, target: string) =>
    ({ kind: 'stack', stack, path: rawPath(path), target }) as const;
  const lower = lab.layer((dir) => {
    mkdirSync(join(dir, 'd'));
    writeFileSync(join(dir, 'd/low'), 'low\n');
    writeFileSync(join(dir, 'd/both'), 'lower\n');
    symlinkSync('/d', join(dir, 'abs'));
    symlinkSync('../../../..', join(dir, 'up'));
    writeFileSync(join(dir, 'secret'), 'hidden\n');
  });
  const upper = lab.layer((dir) => {
    mkdirSync(join(dir, 'd'), { mode: 0o711 });
    chmodSync(join(dir, 'd'), 0o711);
    writeFileSync(join(dir, 'd/both'), 'upper\n');
  });
  const scratch = (): string => lab.layer(() => {});

  test('parts of a stack of layers are shown, read-only, and resolved inside it', async () => {
    const stacks = [{ layers: [lower, upper].map(tree), hidden: [], scratchDir: null }];
    const mounts = [show(0, 'abs', '/m'), show(0, 'up/abs/both', '/one'), show(0, '', '/all')];
    const script = 'cat /m/low /m/both /one; stat -c %a /m; ls /all; (echo x >>/m/low) 2>/dev/null || echo readonly';
    const shown = await lines(lab, script, { stacks, mounts });
    expect(shown).toEqual(['low', 'upper', 'upper', '711', 'abs', 'd', 'secret', 'up', 'readonly']);
    const missing = await lab.run({ stacks, mounts: [show(0, 'none', '/m')] });
    expect(missing.error).toMatchObject({ code: 'LAUNCH_BIND', errno: 'ENOENT' });
  });

  test('a stack of one layer, and of none', async () => {
    const stacks = [
      { layers: [tree(lower)], hidden: [], scratchDir: null },
      { layers: [], hidden: [], scratchDir: null },
      { layers: [], hidden: [], scratchDir: scratch() },
    ];
    const mounts = [show(0, 'd', '/a'), show(1, '', '/b'), show(2, '', '/c')];
    const script = 'ls /a /b /c; touch /c/x; touch /b/x 2>/dev/null || echo readonly';
    expect(await lines(lab, script, { stacks, mounts })).toEqual([
      '/a:',
      'both',
      'low',
      '',
      '/b:',
      '',
      '/c:',
      'readonly',
    ]);
  });

  test('what is written into a stack lies in its scratch directory, and in no layer', async () => {
    const scratchDir = scratch();
    const stacks = [{ layers: [lower, upper].map(tree), hidden: [], scratchDir }];
    const outcome = await shell(lab, 'echo more >>/m/low; rm /m/both; mkdir /m/new; ls /m', {
      stacks,
      mounts: [show(0, 'd', '/m')],
    });
    expect(outcome).toMatchObject({ stdout: 'low\nnew\n', stderr: '', upper: [] });
    expect(readdirSync(scratchDir)).toEqual(['upper']);
    expect(readdirSync(join(scratchDir, 'upper/d')).sort()).toEqual(['both', 'low', 'new']);
    expect(readFileSync(join(lower, 'd/low'), 'utf8')).toBe('low\n');
  });

  test('hidden paths are not there, and their directories are as they were', async () => {
    const layer = lab.layer((dir) => {
      for (const name of ['a', 'a/b']) {
        mkdirSync(join(dir, name));
        writeFileSync(join(dir, name, 'kept'), '');
        writeFileSync(join(dir, name, 'gone'), '');
      }
      mkdirSync(join(dir, 'whole/tree'), { recursive: true });
      chmodSync(join(dir, 'a/b'), 0o750);
      chmodSync(dir, 0o711);
      for (const name of ['a/b', 'a', '']) utimesSync(join(dir, name), 1000, 2000);
    });
    const hidden = ['a/gone', 'a/b/gone', 'whole', 'not there'].map((path) => rawPath(path));
    for (const scratchDir of [null, scratch()]) {
      const shown = await lines(lab, 'cd /m; find . | sort; stat -c "%n %a %Y" . a a/b', {
        stacks: [{ layers: [tree(layer)], hidden, scratchDir }],
        mounts: [show(0, '', '/m')],
      });
      const there = ['.', './a', './a/b', './a/b/kept', './a/kept'];
      expect(shown).toEqual([...there, '. 711 2000', 'a 755 2000', 'a/b 750 2000']);
    }
  });
}

function describeUpper(lab: Lab): void {
  test("the result holds whiteouts, opaque directories and the image's own owners", async () => {
    const layer = lab.layer((dir) => {
      for (const name of ['kept', 'again']) {
        mkdirSync(join(dir, name));
        writeFileSync(join(dir, name, 'file'), name);
      }
      writeFileSync(join(dir, 'gone'), '');
    });
    const layers = [lab.base, layer].map((dir) => ({ kind: 'tree', dir }) as const);
    const outcome = await shell(
      lab,
      'rm /gone; rm -r /again; mkdir /again; touch /mine; chown 33:34 /mine; echo more >>/kept/file; ln /mine /kept/second',
      { layers },
    );
    expect(outcome.stderr).toBe('');
    const upper = join(outcome.scratchDir, 'upper');
    expect(outcome.upper).toEqual(['again', 'gone', 'kept', 'kept/file', 'kept/second', 'mine']);
    const gone = lstatSync(join(upper, 'gone'));
    expect([gone.isCharacterDevice(), gone.rdev]).toEqual([true, 0]);
    expect(readFileSync(join(upper, 'kept/file'), 'utf8')).toBe('keptmore\n');
    const mine = lstatSync(join(upper, 'mine'));
    if (lab.name === 'root') expect([mine.uid, mine.gid]).toEqual([33, 34]);
    else expect(mine.uid).toBeGreaterThan(1000);
    expect(mine.nlink).toBe(2);
    const walked = await walkTree(upper, { xattrs: true });
    const again = walked.find((file) => file.path === 'again');
    expect(again?.xattrs).toContainEqual({ name: 'user.overlay.opaque', value: Buffer.from('y') });
  });

  test('a renamed directory and a changed mode leave whole entries', async () => {
    const layer = lab.layer((dir) => {
      mkdirSync(join(dir, 'old'));
      writeFileSync(join(dir, 'old/file'), 'content');
    });
    const layers = [lab.base, layer].map((dir) => ({ kind: 'tree', dir }) as const);
    const outcome = await shell(lab, 'mv /old /new; chmod 600 /bin/busybox', { layers });
    expect(outcome.upper).toEqual(['bin', 'bin/busybox', 'new', 'new/file', 'old']);
    expect(statSync(join(outcome.scratchDir, 'upper/bin/busybox')).size).toBe(statSync('/bin/busybox').size);
  });

  test('nothing but the result stays in the scratch directory', async () => {
    const { scratchDir } = await shell(lab, 'echo x >/x; rm /x; rm -r /tmp');
    expect(readdirSync(scratchDir)).toEqual(['upper']);
  });

  test('devices can not be made', async () => {
    const { stderr, upper } = await shell(lab, 'mknod /null c 1 3; mknod /white c 0 0');
    expect(stderr.match(/Operation not permitted/g)).toHaveLength(stderr.includes('/white') ? 2 : 1);
    expect(upper).not.toContain('null');
  });
}
function numberedLayers(lab: Lab, count: number): string[] {
  return Array.from({ length: count }, (_, i) =>
    lab.layer((dir) => {
      mkdirSync(join(dir, 'many'));
      writeFileSync(join(dir, 'many', String(i + 1)), '');
      writeFileSync(join(dir, 'top'), `${i + 1}\n`);
    }),
  );
}
