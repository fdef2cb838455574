// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the shell's variables
import { expect, test } from 'vitest';
import { parseBuildfile } from '../../src/buildfile/index.js';
import { requiredBases } from '../../src/graph/index.js';
import { amd64, arm64, optionsOf, plan, refusal } from './support.js';

const staged = `FROM a AS one
RUN make
FROM b AS unused
RUN other
FROM c
COPY --from=one /out /
COPY --from=d:1 /x /
`;

test('only images that the target needs are asked for, each where it is named', () => {
  const file = parseBuildfile({ name: 'Buildfile', text: staged });
  expect(requiredBases(file, optionsOf({})).map(({ ref, at }) => [ref, at.start])).toEqual([
    ['c', staged.indexOf('c\nCOPY')],
    ['d:1', staged.indexOf('d:1')],
    ['a', staged.indexOf('a AS')],
  ]);
  expect(requiredBases(file, optionsOf({ target: 'UNUSED' })).map(({ ref }) => ref)).toEqual(['b']);
  expect(requiredBases(file, optionsOf({ target: '0' })).map(({ ref }) => ref)).toEqual(['a']);
});

test('FROM and COPY --from see ARGs before the first FROM, defaults and --build-arg', () => {
  const text = 'ARG V=1 W=${V}x\nARG X\nFROM img:$V-$W${X:+-$X} AS $Y\n'.replace(' AS $Y', '');
  expect(plan(text).fetched).toEqual(['img:1-1x linux/amd64']);
  expect(plan(text, { args: { V: '2', X: 'y' } }).fetched).toEqual(['img:2-2x-y linux/amd64']);
  expect(plan('ARG T=b\nFROM a\nCOPY --from=img:$T /x /').fetched).toContain('img:b linux/amd64');
});

test('FROM --platform may name the build machine or the target, and decides which image is meant', () => {
  const text =
    'FROM --platform=$BUILDPLATFORM a AS build\nFROM --platform=${TARGETPLATFORM} b\nCOPY --from=build /x /\n';
  const graph = plan(text, { platform: arm64 });
  expect(graph.fetched).toEqual(['b linux/arm64', 'a linux/amd64']);
  expect(graph.vertices.map(({ kind, platform }) => [kind, platform])).toEqual([
    ['base', amd64],
    ['base', arm64],
    ['copy', arm64],
  ]);
  expect(graph.platform).toEqual(arm64);
});

test('the same image for two platforms is two bases', () => {
  const graph = plan('FROM --platform=linux/arm64 a AS x\nFROM a\nCOPY --from=x / /\n');
  expect(graph.fetched).toEqual(['a linux/amd64', 'a linux/arm64']);
});

test('FROM means an earlier stage of that name, and an image where a later one has it', () => {
  const graph = plan('FROM node AS node\nRUN a\nFROM Node AS next\nRUN b\n');
  expect(graph.fetched).toEqual(['node linux/amd64']);
  expect(graph.history.map(({ createdBy }) => createdBy)).toEqual([
    'RUN /bin/sh -c a # buildkit',
    'RUN /bin/sh -c b # buildkit',
  ]);
});

test('a named context stands in for an image, and for a stage with all that it does', () => {
  const image = plan('FROM alpine\nRUN x', { contexts: { 'docker.io/library/alpine:latest': { image: 'mine:1' } } });
  expect(image.fetched).toEqual(['mine:1 linux/amd64']);
  expect(image.vertices).toHaveLength(2);
  const stage = plan('FROM a AS build\nRUN x\nFROM scratch\nCOPY --from=build /x /', {
    contexts: { build: { image: 'mine:1' } },
  });
  expect(stage.fetched).toEqual(['mine:1 linux/amd64']);
  expect(stage.vertices.map(({ kind }) => kind)).toEqual(['base', 'base', 'copy']);
});

test('a named directory is copied from, also where a stage has its name', () => {
  const graph = plan('FROM a AS files\nRUN x\nFROM scratch\nCOPY --from=files x /', {
    contexts: { files: 'directory' },
  });
  expect(graph.fetched).toEqual([]);
  expect(graph.vertices.at(-1)).toMatchObject({ kind: 'copy', from: { kind: 'context', name: 'files' } });
});

test('a mount needs the stage or the image that it names', () => {
  const graph = plan(
    'ARG WHICH=two\nFROM a AS one\nFROM b AS two\nRUN x\nFROM c AS never\nFROM scratch\n' +
      'RUN --mount=from=$WHICH,target=/x --mount=from=other:1,target=/y x',
  );
  expect(graph.fetched).toEqual(['other:1 linux/amd64', 'b linux/amd64']);
  const step = graph.vertices.at(-1);
  expect(step?.kind === 'run' && step.mounts.map((mount) => mount.kind === 'bind' && mount.from)).toEqual([
    { kind: 'vertex', vertex: graph.vertices.findIndex(({ name }) => name.endsWith('RUN x')) },
    { kind: 'vertex', vertex: graph.vertices.findIndex(({ name }) => name === 'FROM other:1') },
  ]);
});

test('triggers of a base run first, once, and may need more images', () => {
  const graph = plan('FROM base AS one\nRUN own\nFROM one\nRUN last\n', {
    images: { base: { OnBuild: ['RUN first', 'COPY --from=other:1 /x /', 'ENV A=$B', 'COPY <<E /y\ntext\nE'] } },
  });
  expect(graph.fetched).toEqual(['base linux/amd64', 'other:1 linux/amd64']);
  expect(graph.vertices.map(({ name }) => name)).toEqual([
    '[one 1/5] FROM base',
    '[one 2/5] ONBUILD RUN first',
    'FROM other:1',
    '[one 3/5] ONBUILD COPY --from=other:1 /x /',
    '[one 4/5] ONBUILD COPY <<E /y',
    '[one 5/5] RUN own',
    '[stage-1 1/1] RUN last',
  ]);
  expect(graph.config.OnBuild).toBeUndefined();
});

test('triggers of a stage run in stages on it, and the image keeps only its own', () => {
  const graph = plan('FROM scratch AS base\nONBUILD RUN x\nFROM base\nONBUILD USER me\n');
  expect(graph.vertices.map(({ name }) => name)).toEqual(['FROM scratch', '[stage-1 1/1] ONBUILD RUN x']);
  expect(graph.config.OnBuild).toEqual(['USER me']);
});

const refused: [name: string, text: string, message: string, given?: Parameters<typeof refusal>[1]][] = [
  [
    'a target that is a slip',
    'FROM a AS build\n',
    `error[STAGE_NOT_FOUND]: Buildfile has no stage biuld
help: did you mean build?`,
    { target: 'biuld' },
  ],
  [
    'a stage that takes files from itself',
    'FROM a AS x\nCOPY --from=x /a /b\n',
    `error[STAGE_CYCLE]: stage x takes files from itself
 --> Buildfile:2:13
  |
2 | COPY --from=x /a /b
  |             ^
help: to use files of its own base, give the base a stage of its own and copy from that`,
  ],
  [
    'stages that need each other',
    'FROM a AS x\nCOPY --from=z /a /b\nFROM a AS y\nCOPY --from=x /a /b\nFROM y AS z\n',
    `error[STAGE_CYCLE]: stages need each other: x → z → y → x
 --> Buildfile:2:13
  |
2 | COPY --from=z /a /b
  |             ^
help: move what both need into a stage before them`,
    { target: 'x' },
  ],
  [
    'a later stage',
    'FROM a AS x\nCOPY --from=z /a /b\n\nFROM b AS z\n',
    `error[STAGE_ORDER]: stage z begins later, at line 4
 --> Buildfile:2:13
  |
2 | COPY --from=z /a /b
  |             ^
help: move stage z above this one: a stage can only use earlier ones`,
    { target: 'x' },
  ],
  [
    'a stage number that is too high',
    'FROM a\nCOPY --from=3 /a /b\n',
    `error[STAGE_NOT_FOUND]: there is no stage 3: Buildfile has 1, numbered from 0
 --> Buildfile:2:13
  |
2 | COPY --from=3 /a /b
  |             ^
help: names are safer than numbers: FROM … AS NAME`,
  ],
  [
    'an image name that is empty',
    'ARG TGA\nFROM img:1 AS x\nFROM $TAG\n',
    `error[BASE_INVALID]: $TAG is empty here
 --> Buildfile:3:6
  |
3 | FROM $TAG
  |      ^^^^
help: FROM sees only ARGs that stand before the first FROM; give them a default or --build-arg`,
  ],
  [
    "a stage's own variable in --from",
    'FROM a\nARG V=1\nCOPY --from=img:$V /a /b\n',
    `error[VARIABLE_INVALID]: --from can not use V, which no ARG before the first FROM sets
 --> Buildfile:3:13
  |
3 | COPY --from=img:$V /a /b
  |             ^^^^^^
help: name the image with 'FROM … AS NAME', and write --from=NAME`,
  ],
];

for (const [name, text, message, given] of refused) {
  test(`${name} is refused`, () => {
    expect(refusal(text, given)).toBe(message);
  });
}

test('an image that is nearly the name of a stage says so', () => {
  const file = parseBuildfile({ name: 'Buildfile', text: 'FROM a AS build\nFROM scratch\nCOPY --from=biuld /x /\n' });
  expect(requiredBases(file, optionsOf({}))).toMatchObject([{ ref: 'biuld', similarStage: 'build' }]);
});

test('--platform on a stage changes nothing, and that is said', () => {
  const graph = plan('FROM a AS x\nFROM --platform=linux/arm64 x\nRUN y\n');
  expect(graph.warnings).toMatchObject([{ code: 'PLATFORM_IGNORED' }]);
  expect(graph.platform).toEqual(amd64);
});

test('a chain of 5,000 stages is planned in seconds at most', () => {
  const text = Array.from({ length: 5000 }, (_, i) => `FROM ${i === 0 ? 'a' : `s${i - 1}`} AS s${i}\nRUN x\n`).join('');
  const start = performance.now();
  expect(plan(text).history).toHaveLength(5000);
  expect(performance.now() - start).toBeLessThan(10_000);
});
