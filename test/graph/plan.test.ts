// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the shell's variables
import { expect, test } from 'vitest';
import type { CopyVertex, RunVertex } from '../../src/graph/index.js';
import { arm64, type Given, plan, refusal } from './support.js';

const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

function config(text: string, given?: Given): ReturnType<typeof plan>['config'] {
  return plan(`FROM scratch\n${text}`, given).config;
}

function history(text: string, given?: Given): string[] {
  return plan(`FROM scratch\n${text}`, given).history.map(({ createdBy }) => createdBy);
}

function run(text: string, given?: Given): RunVertex {
  const found = plan(`FROM scratch\n${text}`, given).vertices.findLast((vertex) => vertex.kind === 'run');
  if (found?.kind !== 'run') throw new Error('no RUN');
  return found;
}

function copy(text: string, given?: Given): CopyVertex {
  const found = plan(`FROM scratch\n${text}`, given).vertices.findLast((vertex) => vertex.kind === 'copy');
  if (found?.kind !== 'copy') throw new Error('no COPY');
  return found;
}

test('scratch begins with a PATH and the root as working directory', () => {
  const graph = plan('FROM scratch');
  expect(graph.config).toEqual({ Env: [path], WorkingDir: '/' });
  expect(graph).toMatchObject({ base: null, history: [], vertices: [{ kind: 'base', base: null }], result: 0 });
});

test("a base's config is inherited, and gets a PATH only if it has none", () => {
  const images = {
    a: { Env: ['A=1', 'PATH=/own'], Cmd: ['x'], User: 'me', Labels: { b: '2' }, OnBuild: ['USER you'], author: 'her' },
    b: { Env: ['A=1'] },
  };
  const graph = plan('FROM a\nLABEL a=1', { images });
  expect(graph.config).toEqual({
    Env: ['A=1', 'PATH=/own'],
    Cmd: ['x'],
    User: 'you',
    Labels: { a: '1', b: '2' },
  });
  expect(graph).toMatchObject({ base: 'a linux/amd64', author: 'her' });
  expect(plan('FROM b', { images }).config.Env).toEqual(['A=1', path]);
});

test('ENV replaces in place, and one instruction sees the values from before it', () => {
  expect(config('ENV a=1 b=2\nENV a=3 c=$a$b d="x $a"').Env).toEqual([path, 'a=3', 'b=2', 'c=12', 'd=x 1']);
  expect(config('ENV ONE TWO= "THREE"=x').Env).toEqual([path, 'ONE=TWO= THREE=x']);
});

test('CMD and ENTRYPOINT: a new ENTRYPOINT clears a CMD that this stage did not set', () => {
  const images = { a: { Cmd: ['inherited'], Entrypoint: ['old'] } };
  expect(plan('FROM a\nENTRYPOINT ["x"]', { images }).config).toEqual({ Entrypoint: ['x'], Env: [path] });
  expect(config('CMD ["c"]\nENTRYPOINT e')).toMatchObject({ Cmd: ['c'], Entrypoint: ['/bin/sh', '-c', 'e'] });
  expect(plan('FROM a AS s\nCMD c\nFROM s\nENTRYPOINT ["x"]', { images }).config.Cmd).toBeUndefined();
  expect(plan('FROM a\nENTRYPOINT []\nCMD []', { images }).config).toEqual({ ArgsEscaped: true, Env: [path] });
});

test('ArgsEscaped comes with CMD and not with ENTRYPOINT, as from BuildKit', () => {
  expect(config('CMD x').ArgsEscaped).toBe(true);
  expect(config('CMD ["x"]').ArgsEscaped).toBe(true);
  expect(config('ENTRYPOINT x').ArgsEscaped).toBeUndefined();
});

test('WORKDIR joins, and makes directories but for the root', () => {
  const graph = plan('FROM scratch\nUSER me\nWORKDIR a/b\nWORKDIR ../c//d/\nWORKDIR /\nENV X=/x\nWORKDIR $X/~');
  expect(graph.config.WorkingDir).toBe('/x/~');
  expect(graph.vertices.slice(1)).toMatchObject([
    { kind: 'mkdir', path: '/a/b', user: 'me', parent: 0 },
    { kind: 'mkdir', path: '/a/c/d', parent: 1 },
    { kind: 'mkdir', path: '/x/~', parent: 2 },
  ]);
  expect(graph.history.filter(({ createdBy }) => createdBy.startsWith('WORKDIR'))).toEqual([
    { createdBy: 'WORKDIR /a/b', comment: 'buildkit.dockerfile.v0', vertex: 1 },
    { createdBy: 'WORKDIR /a/c/d', comment: 'buildkit.dockerfile.v0', vertex: 2 },
    { createdBy: 'WORKDIR /', comment: 'buildkit.dockerfile.v0', vertex: null },
    { createdBy: 'WORKDIR /x/~', comment: 'buildkit.dockerfile.v0', vertex: 3 },
  ]);
});

test('ports, volumes, labels, signals and shells end in the config', () => {
  const text = `ARG P="90 91-92/udp"
EXPOSE 8080 $P 127.0.0.1:80:81/TCP
VOLUME /b /a
VOLUME ["/c d"]
LABEL z=1 "a b"='x y' multi="one \\
two"
STOPSIGNAL SIGRTMIN+3
SHELL ["/bin/bash", "-c"]
HEALTHCHECK --interval=90s --retries=2 CMD x`;
  expect(config(text, { labels: { z: '2', m: '' } })).toEqual({
    Env: [path],
    WorkingDir: '/',
    ExposedPorts: { '8080/tcp': {}, '81/tcp': {}, '90/tcp': {}, '91/udp': {}, '92/udp': {} },
    Volumes: { '/a': {}, '/b': {}, '/c d': {} },
    Labels: { 'a b': 'x y', m: '', multi: 'one two', z: '2' },
    StopSignal: 'SIGRTMIN+3',
    Shell: ['/bin/bash', '-c'],
    Healthcheck: { Test: ['CMD-SHELL', 'x'], Interval: 90e9, Retries: 2 },
  });
  expect(Object.keys(config(text).Labels ?? {})).toEqual(['a b', 'multi', 'z']);
});

test('the history has the lines that BuildKit writes', () => {
  const text = `MAINTAINER Me <me@example.com>
ENV A=b C="d e"
ARG X=1 Y
LABEL a=b
COPY --chown=1:2 --chmod=755 --link a b /c/
ADD <<E d/
E
RUN make "$A"
RUN ["make", "x y"]
ARG X=2
RUN x
SHELL ["/bin/bash", "-c"]
RUN <<E
one
E
RUN <<E cat
one
E
RUN <<P
#!/bin/python
P
EXPOSE 443 80/udp
VOLUME /a /b
USER $A
STOPSIGNAL 9
HEALTHCHECK --interval=1m30s --timeout=500ms CMD ["a", "b"]
CMD ["sh", "-c", "echo \\"é\\"\\n"]
ENTRYPOINT x
ONBUILD RUN y`;
  expect(history(text)).toEqual([
    'MAINTAINER Me <me@example.com>',
    'ENV A=b C=d e',
    'ARG X=1 Y',
    'LABEL a=b',
    'COPY --chown=1:2 --chmod=755 a b /c/ # buildkit',
    'ADD <<E d/ # buildkit',
    'RUN |2 X=1 Y= /bin/sh -c make "$A" # buildkit',
    'RUN |2 X=1 Y= make x y # buildkit',
    'ARG X=2',
    'RUN |2 X=2 Y= /bin/sh -c x # buildkit',
    'SHELL [/bin/bash -c]',
    'RUN |2 X=2 Y= /bin/bash -c one\n # buildkit',
    'RUN |2 X=2 Y= /bin/bash -c <<E cat\none\nE # buildkit',
    'RUN |2 X=2 Y= /bin/bash -c /dev/pipes/P # buildkit',
    'EXPOSE [443/tcp 80/udp]',
    'VOLUME [/a /b]',
    'USER b',
    'STOPSIGNAL 9',
    'HEALTHCHECK {Test:[CMD a b] Interval:1m30s Timeout:500ms StartPeriod:0s StartInterval:0s Retries:0}',
    'CMD ["sh" "-c" "echo \\"é\\"\\n"]',
    'ENTRYPOINT ["/bin/bash" "-c" "x"]',
  ]);
  expect(plan(`FROM scratch\n${text}`).author).toBe('Me <me@example.com>');
});

test('steps are named and counted as BuildKit does', () => {
  const graph = plan(`FROM a AS build
WORKDIR /src
ENV V=1
RUN make V=$V N=$NONE '$V'
FROM scratch
COPY --from=build /src/out-$NONE /
RUN <<E
one
two
E
`);
  expect(graph.vertices.map(({ name }) => name)).toEqual([
    '[build 1/3] FROM a',
    '[build 2/3] WORKDIR /src',
    "[build 3/3] RUN make V=1 N=$NONE '$V'",
    'FROM scratch',
    '[stage-1 1/2] COPY --from=build /src/out- /',
    '[stage-1 2/2] RUN <<E (one...)',
  ]);
  const ten = plan(`FROM scratch\n${'RUN x\n'.repeat(10)}`);
  expect([ten.vertices[1]!.name, ten.vertices[10]!.name]).toEqual(['[ 1/10] RUN x', '[10/10] RUN x']);
});

test('a step has its command, environment, directory and user', () => {
  expect(run('ENV A=1\nARG B=2\nARG C\nWORKDIR /w\nUSER me:us\nRUN make $A')).toMatchObject({
    args: ['/bin/sh', '-c', 'make $A'],
    script: null,
    env: [
      ['PATH', path.slice(5)],
      ['A', '1'],
      ['B', '2'],
    ],
    hiddenEnv: [],
    cwd: '/w',
    user: 'me:us',
    mounts: [],
    network: 'default',
  });
  expect(run('RUN --network=none ["a", "$B"]')).toMatchObject({ args: ['a', '$B'], network: 'none' });
});

test('a lone heredoc is the script of the shell, or a program of its own; others go to the shell as they stand', () => {
  expect(run("RUN <<-'E'\n\techo $x\n\tE")).toMatchObject({ args: ['/bin/sh', '-c', 'echo $x\n'], script: null });
  expect(run('RUN <<E\n#!/usr/bin/env python3\nprint(1)\nE')).toMatchObject({
    args: [],
    script: '#!/usr/bin/env python3\nprint(1)\n',
  });
  expect(run('RUN cat <<-A >x && cat <<B\n\ta\n\tA\nb\nB').args[2]).toBe('cat <<-A >x && cat <<B\n\ta\nA\nb\nB');
});

test('of ENV and ARG with one name the later wins, as in BuildKit; a bare ARG changes nothing', () => {
  const value = (text: string, given?: Given): unknown => new Map(run(`${text}\nRUN x`, given).env).get('V');
  expect(value('ARG V=arg\nENV V=env')).toBe('env');
  expect(value('ENV V=env\nARG V=arg')).toBe('arg');
  expect(value('ENV V=env\nARG V')).toBe('env');
  expect(value('ENV V=env\nARG V', { args: { V: 'given' } })).toBe('given');
  expect(config('ENV V=env\nARG V=arg').Env).toContain('V=env');
});

test('ARGs: given, default, global, inherited', () => {
  const value = (text: string, given?: Given): unknown => {
    const graph = plan(`${text}\nRUN x`, given);
    return new Map((graph.vertices.at(-1) as RunVertex).env).get('V');
  };
  expect(value('FROM scratch\nARG V=default')).toBe('default');
  expect(value('FROM scratch\nARG V=default', { args: { V: 'given' } })).toBe('given');
  expect(value('ARG V=global\nFROM scratch')).toBeUndefined();
  expect(value('ARG V=global\nFROM scratch\nARG V')).toBe('global');
  expect(value('ARG V=global\nFROM scratch\nARG V=own')).toBe('own');
  expect(value('FROM scratch AS a\nARG V=1\nFROM a')).toBe('1');
  expect(value('FROM scratch\nARG U=1\nARG V=${U}2 W=$V')).toBe('12');
});

test('platform arguments have values where they are declared', () => {
  const given = { platform: { os: 'linux', architecture: 'arm', variant: 'v7' } };
  const declared = 'ARG TARGETPLATFORM TARGETARCH TARGETVARIANT BUILDPLATFORM TARGETSTAGE';
  const env = new Map(run(`${declared}\nRUN x`, given).env);
  expect([...env].slice(1)).toEqual([
    ['TARGETPLATFORM', 'linux/arm/v7'],
    ['TARGETARCH', 'arm'],
    ['TARGETVARIANT', 'v7'],
    ['BUILDPLATFORM', 'linux/amd64'],
    ['TARGETSTAGE', 'default'],
  ]);
  expect(run('RUN x', given).env).toHaveLength(1);
  expect(new Map(run('ARG TARGETVARIANT\nRUN x', { platform: arm64 }).env).get('TARGETVARIANT')).toBe('');
});

test('proxies reach steps unasked, and neither history nor environment', () => {
  const given = { args: { http_proxy: 'http://p', NO_PROXY: 'x' } };
  expect(run('RUN x', given)).toMatchObject({
    env: [['PATH', path.slice(5)]],
    hiddenEnv: [
      ['HTTP_PROXY', 'http://p'],
      ['http_proxy', 'http://p'],
      ['NO_PROXY', 'x'],
      ['no_proxy', 'x'],
    ],
  });
  expect(history('RUN x', given)).toEqual(['RUN /bin/sh -c x # buildkit']);
  expect(plan('FROM scratch\nRUN x', given).warnings).toEqual([]);
  const declared = run('ARG http_proxy\nRUN x', given);
  expect(new Map(declared.env).get('http_proxy')).toBe('http://p');
  expect(declared.hiddenEnv.map(([name]) => name)).toEqual(['HTTP_PROXY', 'NO_PROXY', 'no_proxy']);
});

test('a build argument that nothing declares is a warning, with the name that was perhaps meant', () => {
  const text = 'ARG GLOBAL\nFROM a\nARG VERSION\nFROM b\n';
  expect(
    plan(text, { args: { VERSOIN: '1', GLOBAL: '1', VERSION: '1', BUILDKIT_INLINE_CACHE: '1' } }).warnings,
  ).toEqual([
    {
      code: 'BUILD_ARG_UNUSED',
      message: 'no ARG declares the build argument VERSOIN',
      at: undefined,
      hint: 'did you mean VERSION?',
    },
  ]);
});

test('COPY has its sources, destination and flags, expanded', () => {
  const text =
    'ARG D=dir U=me:us\nWORKDIR /w\nCOPY --chown=$U --chmod=u=rwX,go=rX --exclude=*.$D --exclude=b --parents src/$D/*.c "x" $D/';
  expect(copy(text)).toMatchObject({
    instruction: 'COPY',
    from: { kind: 'context', name: null },
    sources: [{ pattern: 'src/dir/*.c' }, { pattern: 'x' }],
    dest: '/w/dir/',
    chown: 'me:us',
    chmod: 'u=rwX,go=rX',
    exclude: ['*.dir', 'b'],
    parents: true,
    link: false,
  });
  expect(copy('ADD a b')).toMatchObject({ instruction: 'ADD', chown: null, chmod: null, exclude: [], link: false });
  expect(copy('COPY --link a b')).toMatchObject({ link: true });
  expect(copy('COPY --link --chmod=755 a b')).toMatchObject({ link: false });
});

test('where COPY writes: absolute, in the working directory, a directory if it ends so', () => {
  const dest = (word: string): string => copy(`WORKDIR /w\nCOPY a ${word}`).dest;
  expect(['/x', '/x/', 'x', 'x/', '.', './', '..', '../x/.', '/', '/../x'].map(dest)).toEqual([
    ...['/x', '/x/', '/w/x', '/w/x/', '/w/', '/w/', '/', '/x/', '/', '/x'],
  ]);
});

test('inline files are expanded unless their name is quoted', () => {
  const text = `ENV A=1
COPY <<one.txt <<"two" /d/
a=$A "b" \\$A
one.txt
a=$A \\$A
two
`;
  expect(copy(text).inline).toEqual([
    { name: 'one.txt', content: 'a=1 "b" $A\n' },
    { name: 'two', content: 'a=$A \\$A\n' },
  ]);
});

test('COPY --from takes from a stage by name or number, or from an image', () => {
  const from = (name: string): CopyVertex['from'] | undefined =>
    plan(`FROM a AS one\nRUN x\nFROM b\nCOPY --from=${name} /x /\n`).vertices.flatMap((vertex) =>
      vertex.kind === 'copy' ? vertex.from : [],
    )[0];
  expect(from('one')).toEqual({ kind: 'vertex', vertex: 1 });
  expect(from('ONE')).toEqual({ kind: 'vertex', vertex: 1 });
  expect(from('0')).toEqual({ kind: 'vertex', vertex: 1 });
  expect(from('other:1')).toEqual({ kind: 'vertex', vertex: 1 });
});

test('mounts are as the step shall see them', () => {
  const text = `WORKDIR /w
ARG T=/t
RUN --mount=type=cache,target=$T/c/,id=\${T}x,uid=1,gid=2,mode=700 --mount=type=cache,target=rel,ro x
RUN --mount=target=. --mount=type=bind,from=files,source=a/../b,dst=/f \\
    --mount=type=tmpfs,dst=/tmp,size=1k \\
    --mount=type=secret,id=key --mount=type=secret,id=tok,env=TOKEN,required --mount=type=secret,src=s,dst=f,mode=0444 y`;
  const graph = plan(`FROM scratch\n${text}`, { contexts: { files: 'directory' } });
  const [first, second] = graph.vertices.filter((vertex) => vertex.kind === 'run');
  const shown = (vertex: RunVertex | undefined): unknown => vertex?.mounts.map(({ at: _, ...mount }) => mount);
  const cache = { kind: 'cache', from: null, source: '/', namespace: '', sharing: 'shared' };
  expect(shown(first)).toEqual([
    { ...cache, id: '/tx', target: '/t/c', readonly: false, mode: 0o700, uid: 1, gid: 2 },
    { ...cache, id: 'rel', target: '/w/rel', readonly: true, mode: null, uid: null, gid: null },
  ]);
  const secret = { kind: 'secret', env: null, required: false, mode: 0o400, uid: 0, gid: 0 };
  expect(shown(second)).toEqual([
    { kind: 'bind', from: { kind: 'context', name: null }, source: '/', target: '/w', writable: false },
    { kind: 'bind', from: { kind: 'context', name: 'files' }, source: '/b', target: '/f', writable: false },
    { kind: 'tmpfs', target: '/tmp', sizeBytes: 1024, readonly: false },
    { ...secret, id: 'key', target: '/run/secrets/key' },
    { ...secret, id: 'tok', target: null, env: 'TOKEN', required: true },
    { ...secret, id: 's', target: '/w/f', mode: 0o444 },
  ]);
});

test('RUN --device is refused, never passed over', () => {
  const text = 'RUN --device=vendor/class x';
  const lines = refusal(`FROM scratch\n${text}\n`).split('\n');
  expect(lines[0]).toBe('error[NOT_SUPPORTED]: RUN --device is not supported by this version of tsbuild');
  expect(lines[4]).toBe(`  | ${' '.repeat(text.indexOf('vendor'))}${'^'.repeat('vendor/class'.length)}`);
});

test('what is not supported in a stage that nobody needs is no error', () => {
  expect(plan('FROM scratch AS a\nRUN --device=a/b x\nFROM scratch\n').vertices).toHaveLength(1);
});

const refused: [name: string, text: string, message: string][] = [
  [
    'a port that is none',
    'EXPOSE 80 http',
    `error[PORT_INVALID]: "http" is no port
 --> Buildfile:2:11
  |
2 | EXPOSE 80 http
  |           ^^^^
help: a port is a number up to 65535 or a range, perhaps with /tcp, /udp or /sctp, as in 8000-8010/udp`,
  ],
  [
    'a signal that is a slip',
    'STOPSIGNAL SIGTREM',
    `error[SIGNAL_INVALID]: "SIGTREM" is no signal
 --> Buildfile:2:12
  |
2 | STOPSIGNAL SIGTREM
  |            ^^^^^^^
help: did you mean SIGTERM?`,
  ],
  [
    'a network that is a slip',
    'RUN --network=nonee x',
    `error[FLAG_INVALID]: --network is default, none or host, not "nonee"
 --> Buildfile:2:15
  |
2 | RUN --network=nonee x
  |               ^^^^^
help: did you mean none?`,
  ],
  [
    'a mode that is none',
    'COPY --chmod=789 a b',
    `error[FLAG_INVALID]: --chmod is an octal mode up to 7777 or a change such as u=rwX,go=rX, not "789"
 --> Buildfile:2:14
  |
2 | COPY --chmod=789 a b
  |              ^^^`,
  ],
  [
    'quotes around blanks in COPY',
    'COPY "a b" c',
    `error[VARIABLE_INVALID]: a " is never closed
 --> Buildfile:2:6
  |
2 | COPY "a b" c
  |      ^^
help: words are split at blanks even inside quotes here; use the JSON form, as in ["a b", "c/"]`,
  ],
  [
    'a variable that must be given',
    'ENV V="${VERSION:?set the version}"',
    `error[VARIABLE_REQUIRED]: set the version
 --> Buildfile:2:7
  |
2 | ENV V="\${VERSION:?set the version}"
  |       ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^
help: give it with --build-arg, or set it with ENV or ARG`,
  ],
  [
    'COPY of a URL',
    'COPY https://example.com/x /',
    `error[ARGUMENTS_INVALID]: COPY can not take a URL
 --> Buildfile:2:6
  |
2 | COPY https://example.com/x /
  |      ^^^^^^^^^^^^^^^^^^^^^
help: it copies files of the build context, of a stage or of an image; ADD takes what lies elsewhere`,
  ],
  [
    'a mount over the root',
    'RUN --mount=type=tmpfs,target=/ x',
    `error[MOUNT_INVALID]: a mount can not cover the root
 --> Buildfile:2:24
  |
2 | RUN --mount=type=tmpfs,target=/ x
  |                        ^^^^^^^^`,
  ],
];

for (const [name, text, message] of refused) {
  test(`${name} is refused at its place`, () => {
    expect(refusal(`FROM scratch\n${text}\n`)).toBe(message);
  });
}
