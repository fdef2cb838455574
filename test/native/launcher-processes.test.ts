// What a step can see and do: processes, namespaces, capabilities, system calls. Real steps, as root and as an ordinary user.
import { type ChildProcess, execFileSync } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmdirSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { isRoot, type Lab, lines, shell, useLabs } from './step-lab.js';

const labs = await useLabs();

for (const lab of labs) {
  describe(`a step as ${lab.name}`, () => {
    describeProcesses(lab);
    describeNamespaces(lab);
    describeConfinement(lab);
  });
}

test.skipIf(labs.length === 0)(
  'steps that ignore SIGTERM are killed after the grace period',
  async () => {
    const stubborn = { args: ['sh', '-c', 'trap "" TERM; while :; do sleep 1; done'] };
    const ends = await Promise.all(labs.map((lab) => lab.run(stubborn, { abortAfterMs: 200 })));
    for (const { exit } of ends) expect(exit).toMatchObject({ exitCode: 137, signal: 'SIGKILL' });
  },
  30_000,
);

function describeProcesses(lab: Lab): void {
  test('aborting sends SIGTERM to the whole group of the step', async () => {
    const outcome = await lab.run(
      { args: ['sh', '-c', 'trap "echo got; exit 3" TERM; sleep 1000 & wait'] },
      { abortAfterMs: 400 },
    );
    expect(outcome).toMatchObject({ exit: { exitCode: 3, signal: null }, stdout: 'got\n' });
  });

  test('aborting ends a step that handles nothing', async () => {
    const { exit } = await lab.run({ args: ['sleep', '1000'] }, { abortAfterMs: 400 });
    expect(exit).toMatchObject({ exitCode: 143, signal: 'SIGTERM' });
  });

  test('pid 1 reaps orphans', async () => {
    const script = '(sh -c "sleep 0.1 & exit" &); sleep 0.5; ps -o stat,args';
    expect((await lines(lab, script)).filter((line) => line.startsWith('Z'))).toEqual([]);
  });

  test('daemons that outlive the step are gone, and can not change the result', async () => {
    const marker = `9${process.pid}7${lab.uid}`;
    const outcome = await shell(
      lab,
      `setsid sh -c "sleep ${marker} & sleep 0.3; touch /late" >/dev/null 2>&1 & sleep 0.1`,
    );
    expect(outcome.exit?.exitCode).toBe(0);
    expect(processesWith(marker)).toEqual([]);
    await sleep(500);
    expect(existsSync(join(outcome.scratchDir, 'upper/late'))).toBe(false);
  });

  test('nothing of a step outlives its manager', async () => {
    const marker = `8${process.pid}6${lab.uid}`;
    const { manager } = lab.start({ args: ['sh', '-c', `echo up; setsid sleep ${marker} & sleep ${marker}`] });
    await untilOutput(manager, 'up');
    expect(processesWith(marker).length).toBeGreaterThan(0);
    manager.kill('SIGKILL');
    await until(() => processesWith(marker).length === 0 && processesWith(`step-runner-${marker}`).length === 0);
    await until(() => launchersBelow(manager.pid!).length === 0);
  });

  test('pid 1 shows nothing of the host and can not be looked into', async () => {
    const shown = await lines(
      lab,
      'cat /proc/1/comm; tr -d "\\0" </proc/1/cmdline; echo; ls /proc/1/fd 2>/dev/null || echo refused',
    );
    expect(shown).toEqual(['init', 'init', 'refused']);
  });

  test('only the standard streams are open', async () => {
    expect(
      await lines(lab, 'for f in 0 1 2 3 4 5 6 7 8 9; do if [ -e /proc/$$/fd/$f ]; then echo $f; fi; done'),
    ).toEqual(['0', '1', '2']);
  });

  test('the first process leads a session of its own, without a terminal', async () => {
    expect(await lines(lab, 'read -r _ _ _ _ _ sid tty _ </proc/$$/stat; [ $sid = $$ ] && echo $tty')).toEqual(['0']);
  });
}

function describeNamespaces(lab: Lab): void {
  const names = ['cgroup', 'ipc', 'mnt', 'net', 'pid', 'time', 'user', 'uts'];

  test('all eight namespaces are its own', async () => {
    const own = await lines(lab, `for n in ${names.join(' ')}; do readlink /proc/self/ns/$n; done`);
    expect(own).toHaveLength(8);
    names.forEach((name, i) => {
      expect(own[i]).toMatch(new RegExp(`^${name}:`));
      expect(own[i]).not.toBe(readlinkSync(`/proc/self/ns/${name}`));
    });
  });

  test('without network there is only the loopback interface, and it is up', async () => {
    expect(
      await lines(lab, 'ls /sys/class/net; cat /proc/net/route | wc -l; ip addr show lo | grep -c "inet 127.0.0.1"'),
    ).toEqual(['lo', '1', '1']);
  });

  test("the host's network is the host's", async () => {
    const [namespace, ...interfaces] = await lines(lab, 'readlink /proc/self/ns/net; ls /sys/class/net', {
      network: 'host',
    });
    expect(namespace).toBe(readlinkSync('/proc/self/ns/net'));
    expect(interfaces.sort()).toEqual(readdirSync('/sys/class/net').sort());
  });

  test('the host name is its own', async () => {
    expect(await lines(lab, 'hostname', { hostname: 'my-step' })).toEqual(['my-step']);
    expect(hostname()).not.toBe('my-step');
  });

  test('it sees no process but its own', async () => {
    const pids = await lines(lab, 'cd /proc; for p in [0-9]*; do echo $p; done');
    expect(pids).toEqual(['1', '2']);
  });
}

describe.skipIf(!isRoot)('cgroups', () => {
  const made = cgroupParents().map((parent) => join(parent, `tsbuild-test-${process.pid}`));
  beforeAll(() => {
    for (const dir of made) mkdirSync(dir);
  });
  afterAll(async () => {
    for (const dir of made) await until(() => removed(dir));
  });

  test.skipIf(made.length === 0)(
    'are joined before the step sees anything, and are the root of what it sees',
    async () => {
      const lab = labs[0]!;
      const inside = await lines(lab, 'cat /proc/self/cgroup', { cgroups: made });
      const outside = readFileSync('/proc/self/cgroup', 'utf8').trim().split('\n');
      expect(inside).toHaveLength(outside.length);
      for (const line of inside) expect(line).toMatch(/:\/$/);
      const { manager } = lab.start({ args: ['sh', '-c', 'echo up; sleep 30'], cgroups: made });
      await untilOutput(manager, 'up');
      for (const dir of made) expect(members(dir)).toBe(2);
      manager.kill('SIGKILL');
      for (const dir of made) await until(() => members(dir) === 0);
    },
  );

  test('one that is missing is LAUNCH_CGROUP', async () => {
    const { error } = await labs[0]!.run({ cgroups: ['/sys/fs/cgroup/nowhere/at/all'] });
    expect(error).toMatchObject({ code: 'LAUNCH_CGROUP', errno: 'ENOENT' });
  });
});

/** Where this process may make groups: the v2 tree and one v1 controller, as far as they are there. */
function cgroupParents(): string[] {
  const candidates = ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/pids', '/sys/fs/cgroup'];
  return candidates.filter((dir) => existsSync(join(dir, 'cgroup.procs')));
}

function members(cgroup: string): number {
  return readFileSync(join(cgroup, 'cgroup.procs'), 'utf8').split('\n').length - 1;
}

function removed(dir: string): boolean {
  try {
    rmdirSync(dir);
    return true;
  } catch {
    return false; // a process is still leaving
  }
}

function describeConfinement(lab: Lab): void {
  test('capabilities are the reduced default set, none inheritable or ambient', async () => {
    const status = await lines(lab, 'grep -E "^(Cap|NoNewPrivs|Seccomp:)" /proc/self/status | tr -d "\\t"');
    expect(status).toEqual([
      'CapInh:0000000000000000',
      'CapPrm:00000000800405fb',
      'CapEff:00000000800405fb',
      'CapBnd:00000000800405fb',
      'CapAmb:0000000000000000',
      'NoNewPrivs:0',
      'Seccomp:2',
    ]);
  });

  test('another user has no capabilities, and only the groups given', async () => {
    const [ids, ...capabilities] = await lines(lab, 'id; grep -E "^Cap(Prm|Eff)" /proc/self/status | tr -d "\\t"', {
      uid: 1000,
      gid: 1001,
      groups: [7, 2000],
    });
    expect(ids).toBe('uid=1000 gid=1001 groups=7,2000');
    expect(capabilities).toEqual(['CapPrm:0000000000000000', 'CapEff:0000000000000000']);
  });

  test('the caller lends it no groups', async () => {
    expect(await lines(lab, 'id')).toEqual(['uid=0 gid=0']);
  });

  test('setuid programs work', async () => {
    const layer = confinedLayer(lab);
    const layers = [lab.base, layer].map((dir) => ({ kind: 'tree', dir }) as const);
    const outcome = await lab.run({ args: ['/confined'], layers, uid: 1000, gid: 1000 });
    expect(outcome.stdout.split('\n')[0]).toBe('ids=0,1000');
  });

  test('what endangers the host is refused by the system call filter', async () => {
    const layers = [lab.base, confinedLayer(lab)].map((dir) => ({ kind: 'tree', dir }) as const);
    const { stdout } = await lab.run({ args: ['/confined'], layers });
    const results = Object.fromEntries(
      stdout
        .trim()
        .split('\n')
        .map((line) => line.split('=') as [string, string]),
    );
    const allowed = [
      'clone_plain',
      'socket_inet',
      'personality_query',
      ...(process.arch === 'x64' ? ['i386_getpid'] : []),
    ];
    const unknown = ['clone3', 'unknown', 'personality_read_implies_exec'];
    const { ids: _, ...tried } = results;
    const expected = Object.keys(tried).map((name) => [
      name,
      allowed.includes(name) ? '0' : unknown.includes(name) ? 'ENOSYS' : 'EPERM',
    ]);
    expect(tried).toEqual(Object.fromEntries(expected));
    expect(Object.keys(tried).length).toBeGreaterThan(25);
  });

  test('the umask is 022 and core dumps are off, whatever the caller has', async () => {
    expect(await lines(lab, 'umask; grep core /proc/self/limits | tr -s " "')).toEqual([
      '0022',
      'Max core file size 0 0 bytes',
    ]);
  });
}
let compiled: string | undefined;

/** A layer with the program of confined.c, setuid root. */
function confinedLayer(lab: Lab): string {
  if (compiled === undefined) {
    compiled = join(lab.dir, 'confined');
    execFileSync('cc', ['-static', '-D_GNU_SOURCE', '-o', compiled, resolve(import.meta.dirname, 'confined.c')]);
  }
  const program = compiled;
  const layer = lab.layer((dir) => copyFileSync(program, join(dir, 'confined')));
  chmodSync(join(layer, 'confined'), 0o4755); // after the change of owner, which clears the bit
  return layer;
}

function processesWith(marker: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => commandLine(pid).includes(marker) && Number(pid) !== process.pid)
    .map(Number);
}

function launchersBelow(pid: number): number[] {
  return processesWith('tsbuild-launcher').filter((launcher) => {
    try {
      return readFileSync(`/proc/${launcher}/stat`, 'utf8').split(' ')[3] === String(pid);
    } catch {
      return false;
    }
  });
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return ''; // it just ended
  }
}

async function untilOutput(child: ChildProcess, text: string): Promise<void> {
  let seen = '';
  child.stderr!.on('data', (chunk: Buffer) => {
    seen += chunk;
  });
  while (!seen.includes(text)) await once(child.stderr!, 'data');
}

async function until(condition: () => boolean): Promise<void> {
  for (const deadline = Date.now() + 5000; !condition(); await sleep(20)) {
    if (Date.now() > deadline) throw new Error('it did not happen within 5 s');
  }
}
