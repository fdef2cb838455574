import { expect, test } from 'vitest';
import { renderError } from '../../src/base/index.js';
import { type Buildfile, type Instruction, parseBuildfile } from '../../src/buildfile/index.js';

function parse(text: string): Buildfile {
  return parseBuildfile({ name: 'Buildfile', text });
}

/** The instructions after FROM. */
function instructions(text: string): readonly Instruction[] {
  return parse(`FROM scratch\n${text}`).stages[0]!.instructions;
}

type Known<Key> = Instruction extends infer Each
  ? Each extends { readonly keyword: infer Keyword }
    ? Key extends Keyword
      ? Each
      : never
    : never
  : never;

function only<Key extends Instruction['keyword']>(keyword: Key, text: string): Known<Key> {
  const found = instructions(text);
  expect(found.map((each) => each.keyword)).toEqual([keyword]);
  return found[0] as Known<Key>;
}

function messageOf(text: string): string {
  try {
    parse(text);
  } catch (error) {
    return renderError(error);
  }
  throw new Error('this was parsed');
}

/** The text under the carets of what a span points at. */
function pointedAt(text: string, at: { start: number; end: number }): string {
  return text.slice(at.start, at.end);
}

test('a stage has its image, platform, name and instructions, each with its place', () => {
  const text = 'ARG V=1\nFROM --platform=$BUILDPLATFORM reg:5000/a:$V@sha256:0 AS Build-1.x\nUSER me\nfrom scratch\n';
  const file = parse(text);
  expect(file.globalArgs.map(({ args }) => args.map(({ name, value }) => [name, value?.text]))).toEqual([[['V', '1']]]);
  const [build, last] = file.stages;
  expect(build!.from.base.text).toBe('reg:5000/a:$V@sha256:0');
  expect(build!.from.platform?.text).toBe('$BUILDPLATFORM');
  expect(build!.from.name).toBe('build-1.x');
  expect(pointedAt(text, build!.from.base.at)).toBe('reg:5000/a:$V@sha256:0');
  expect(pointedAt(text, build!.from.platform!.at)).toBe('$BUILDPLATFORM');
  expect(pointedAt(text, build!.from.at)).toBe('FROM --platform=$BUILDPLATFORM reg:5000/a:$V@sha256:0 AS Build-1.x');
  expect(build!.instructions.map((each) => each.keyword)).toEqual(['USER']);
  expect(last!.from.base.text).toBe('scratch');
});

test('continued lines are one line; comments in them are dropped and empty lines passed over', () => {
  const run = only('RUN', 'RUN a \\\n  # comment \\\n\n   b\\\nc \\  \n  && d\n');
  expect(run.command).toMatchObject({ form: 'shell', text: 'a    bc   && d' });
});

test('an escape character before another, or before the end of the file, continues nothing', () => {
  expect(instructions('RUN a \\\\\nRUN b \\').map((each) => each.source)).toEqual(['RUN a \\\\', 'RUN b']);
});

test('a keyword may be split over lines, and spans point into the file', () => {
  const text = 'FROM scratch\nENV a=1 \\\n  # why\n  b="x \\\n y"\n';
  const env = parse(text).stages[0]!.instructions[0]!;
  if (env.keyword !== 'ENV') throw new Error('not ENV');
  expect(env.pairs.map(({ name, value }) => [name.text, value.text])).toEqual([
    ['a', '1'],
    ['b', '"x  y"'],
  ]);
  expect(pointedAt(text, env.pairs[1]!.value.at)).toBe('"x \\\n y"');
  expect(instructions('RU\\\nN x')[0]!.source).toBe('RUN x');
});

test('the escape directive makes ` the escape character', () => {
  const file = parse('# escape=`\nFROM scratch\nRUN a `\n b\nENV p=C:\\ q=1\n');
  expect(file.escapeChar).toBe('`');
  expect(file.stages[0]!.instructions.map((each) => each.source)).toEqual(['RUN a  b', 'ENV p=C:\\ q=1']);
});

test('directives stand at the very top only, and in any case', () => {
  const file = parse('# SYNTAX = docker/dockerfile:1.7-labs  \n#check=skip=all;error=true\n# escape=\\\nFROM a\n');
  expect(file.directives.map(({ name, value }) => [name, value])).toEqual([
    ['syntax', 'docker/dockerfile:1.7-labs'],
    ['check', 'skip=all;error=true'],
    ['escape', '\\'],
  ]);
  expect(parse('# check=skip=a b \n# escape=`\nFROM a\n').escapeChar).toBe('`');
  for (const top of ['\n', '# syntax is=fine\n', '# a comment\n', 'FROM b\n', '# unknown=1\n']) {
    expect(parse(`${top}# escape=\`\nFROM a\n`).escapeChar, top).toBe('\\');
  }
});

for (const frontend of [
  'docker/dockerfile:1',
  'docker/dockerfile:1.4.3',
  'docker.io/docker/dockerfile:1-labs',
  'docker/dockerfile',
  'dockerfile.v0',
  `docker/dockerfile:1.2@sha256:${'0'.repeat(64)}`,
]) {
  test(`a file for the frontend ${frontend.slice(0, 40)} is built`, () => {
    expect(parse(`#syntax=${frontend}\nFROM a`).stages).toHaveLength(1);
  });
}

test('a BOM and CRLF line ends change nothing', () => {
  const file = parse('\uFEFF# escape=`\r\nFROM a\r\nRUN x `\r\n  y\r\nCOPY <<EOF /f\r\nline\r\nEOF\r\nUSER me\r\n');
  const [run, copy, user] = file.stages[0]!.instructions;
  expect(run!.source).toBe('RUN x   y');
  expect(copy).toMatchObject({ inline: [{ content: 'line\r\n' }], dest: { text: '/f' } });
  expect(user).toMatchObject({ value: { text: 'me' } });
});

test('RUN has an exec form and a shell form; broken JSON is the shell form', () => {
  expect(only('RUN', 'RUN ["a\\tb", "\\u0041", "x y"]').command).toEqual({ form: 'exec', args: ['a\tb', 'A', 'x y'] });
  expect(only('RUN', "RUN ['a']").command).toMatchObject({ form: 'shell', text: "['a']" });
  expect(only('RUN', 'RUN [ -f x ] && y').command).toMatchObject({ form: 'shell', text: '[ -f x ] && y' });
  expect(only('CMD', 'CMD []').command).toEqual({ form: 'exec', args: [] });
});

test('flags are taken apart wherever quotes stand in them', () => {
  const text = `FROM a\nRUN --mount=type=bind,"target=/a,b" --mount='type=cache,"target=/c d"' --network=none -- --x y\n`;
  const run = parse(text).stages[0]!.instructions[0]!;
  if (run.keyword !== 'RUN') throw new Error('not RUN');
  expect(run.mounts.map(({ fields }) => fields.map((field) => field.text))).toEqual([
    ['type=bind', 'target=/a,b'],
    ['type=cache', 'target=/c d'],
  ]);
  expect(pointedAt(text, run.mounts[0]!.fields[1]!.at)).toBe('"target=/a,b"');
  expect(run.network?.text).toBe('none');
  expect(run.command).toMatchObject({ text: '--x y' });
});

test('COPY has flags, sources and a destination, in both forms', () => {
  const text =
    'FROM a\nCOPY --from=0 --chown="a b":c --chmod=u=rwX,go=rX --link --parents=false --exclude=*.o --exclude=b a b /c/\n';
  const copy = parse(text).stages[0]!.instructions[0]!;
  expect(copy).toMatchObject({
    from: { text: '0' },
    chown: { text: 'a b:c' },
    chmod: { text: 'u=rwX,go=rX' },
    link: { on: true },
    parents: { on: false },
    exclude: [{ text: '*.o' }, { text: 'b' }],
    sources: [{ text: 'a' }, { text: 'b' }],
    dest: { text: '/c/' },
  });
  const json = only('COPY', 'COPY ["a b", "c"]');
  expect([json.sources[0]!.text, json.dest.text]).toEqual(['a b', 'c']);
});

test('ENV, LABEL and ARG know quotes; their old form takes the rest of the line', () => {
  const pairs = (text: string): unknown[] => only('ENV', text).pairs.map(({ name, value }) => [name.text, value.text]);
  expect(pairs(`ENV a="x y" b='z' c=\\ d e=`)).toEqual([
    ['a', '"x y"'],
    ['b', "'z'"],
    ['c', '\\ d'],
    ['e', ''],
  ]);
  expect(pairs('ENV ONE TWO= THREE=x')).toEqual([['ONE', 'TWO= THREE=x']]);
  expect(only('ARG', 'ARG a b=1 c="x y" d=').args.map(({ name, value }) => [name, value?.text])).toEqual([
    ['a', undefined],
    ['b', '1'],
    ['c', '"x y"'],
    ['d', ''],
  ]);
});

test('HEALTHCHECK gives times in nanoseconds', () => {
  expect(
    only('HEALTHCHECK', 'HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=500ms --retries=3 CMD ["a"]'),
  ).toMatchObject({
    test: ['CMD', 'a'],
    intervalNs: 90e9,
    timeoutNs: 1.5e9,
    startPeriodNs: 5e8,
    startIntervalNs: 0,
    retries: 3,
  });
  expect(only('HEALTHCHECK', 'HEALTHCHECK CMD curl -f x || exit 1').test).toEqual(['CMD-SHELL', 'curl -f x || exit 1']);
  expect(only('HEALTHCHECK', 'HEALTHCHECK none').test).toEqual(['NONE']);
});

test('ONBUILD keeps its trigger, parsed and as text', () => {
  const onbuild = only('ONBUILD', 'ONBUILD RUN <<EOF\nx\nEOF');
  expect(onbuild.trigger).toMatchObject({ keyword: 'RUN', command: { script: { content: 'x\n' } } });
  expect(onbuild.text).toBe('RUN <<EOF\nx\nEOF');
});

test('every instruction of the reference is known', () => {
  const text =
    'ADD a b\nARG a\nCMD a\nCOPY a b\nENTRYPOINT a\nENV a=b\nEXPOSE 80\nHEALTHCHECK NONE\nLABEL a=b\nMAINTAINER me\n' +
    'ONBUILD USER a\nRUN a\nSHELL ["a"]\nSTOPSIGNAL SIGTERM\nUSER a\nVOLUME /a\nWORKDIR /a\n';
  expect(instructions(text)).toHaveLength(17);
});

const refused: [name: string, text: string, message: string][] = [
  [
    'a slip in a keyword',
    'FROM a\n  COPPY x y\n',
    `error[UNKNOWN_INSTRUCTION]: unknown instruction COPPY
 --> Buildfile:2:3
  |
2 |   COPPY x y
  |   ^^^^^
help: did you mean COPY?`,
  ],
  [
    'a line that lost its continuation',
    'FROM a\nRUN x\n  && y\n',
    `error[UNKNOWN_INSTRUCTION]: unknown instruction &&
 --> Buildfile:3:3
  |
3 |   && y
  |   ^^
help: if it belongs to the line above, end that line with the escape character (normally '\\')`,
  ],
  [
    'an empty file',
    '\n# nothing\n',
    `error[BUILDFILE_EMPTY]: Buildfile has no instructions
 --> Buildfile:3:1
  |
3 |
  | ^
help: begin it with FROM and an image, or 'FROM scratch'`,
  ],
  [
    'a file without FROM',
    'ARG a=1\n',
    `error[BUILDFILE_EMPTY]: Buildfile has no FROM
 --> Buildfile:1:1
  |
1 | ARG a=1
  | ^^^^^^^
help: begin it with FROM and an image, or 'FROM scratch'`,
  ],
  [
    'an instruction before FROM',
    'RUN x\nFROM a\n',
    `error[FROM_MISSING]: RUN stands before the first FROM
 --> Buildfile:1:1
  |
1 | RUN x
  | ^^^
help: a Buildfile begins with FROM; only ARG may stand before it`,
  ],
  [
    'a slip in a flag',
    'FROM a\nCOPY --form=x a b\n',
    `error[UNKNOWN_FLAG]: COPY has no flag --form
 --> Buildfile:2:6
  |
2 | COPY --form=x a b
  |      ^^^^^^^^
help: did you mean --from?`,
  ],
  [
    'a flag given twice',
    'FROM a\nCOPY --from=x --from=y a b\n',
    `error[FLAG_INVALID]: --from is given twice
 --> Buildfile:2:15
  |
2 | COPY --from=x --from=y a b
  |               ^^^^^^^^`,
  ],
  [
    'a flag without its value',
    'FROM a\nRUN --mount x\n',
    `error[FLAG_INVALID]: --mount needs a value
 --> Buildfile:2:5
  |
2 | RUN --mount x
  |     ^^^^^^^
help: write --mount=VALUE`,
  ],
  [
    'a heredoc that never ends',
    'FROM a\nRUN cat <<EOF\nx\n EOF\n',
    `error[HEREDOC_UNTERMINATED]: the heredoc EOF never ends
 --> Buildfile:2:9
  |
2 | RUN cat <<EOF
  |         ^^^^^
help: end it with a line that is exactly EOF`,
  ],
  [
    'another frontend',
    '# syntax=example.com/front:2\nFROM a\n',
    `error[FRONTEND_NOT_SUPPORTED]: this file asks for the frontend example.com/front:2, which tsbuild does not run
 --> Buildfile:1:10
  |
1 | # syntax=example.com/front:2
  |          ^^^^^^^^^^^^^^^^^^^
help: tsbuild builds the language of docker/dockerfile:1; remove the syntax line if the file is written in it`,
  ],
  [
    'a frontend named behind a script line',
    '#!/usr/bin/env x\n# syntax=example.com/front:2\nFROM a\n',
    `error[FRONTEND_NOT_SUPPORTED]: this file asks for the frontend example.com/front:2, which tsbuild does not run
 --> Buildfile:2:10
  |
2 | # syntax=example.com/front:2
  |          ^^^^^^^^^^^^^^^^^^^
help: tsbuild builds the language of docker/dockerfile:1; remove the syntax line if the file is written in it`,
  ],
  [
    'a directive given twice',
    '# escape=`\n# escape=\\\nFROM a\n',
    `error[DIRECTIVE_INVALID]: the escape directive is given twice
 --> Buildfile:2:10
  |
2 | # escape=\\
  |          ^`,
  ],
  [
    'another escape character',
    '# escape=^\nFROM a\n',
    `error[DIRECTIVE_INVALID]: the escape character is \\ or \`, not ^
 --> Buildfile:1:10
  |
1 | # escape=^
  |          ^`,
  ],
  [
    'COPY without a destination',
    'FROM a\nCOPY x\n',
    `error[ARGUMENTS_INVALID]: COPY needs at least one source and a destination
 --> Buildfile:2:6
  |
2 | COPY x
  |      ^`,
  ],
  [
    'a name that no stage can have',
    'FROM a AS 1st\n',
    `error[STAGE_NAME_INVALID]: "1st" can not be the name of a stage
 --> Buildfile:1:11
  |
1 | FROM a AS 1st
  |           ^^^
help: a name begins with a letter and has letters, digits, '-', '_' and '.'`,
  ],
  [
    'SHELL that is no JSON',
    'FROM a\nSHELL bash -c\n',
    `error[ARGUMENTS_INVALID]: SHELL needs a JSON array of strings
 --> Buildfile:2:7
  |
2 | SHELL bash -c
  |       ^^^^^^^
help: write it as in SHELL ["/bin/bash", "-c"]`,
  ],
  [
    'a JSON array that holds a number',
    'FROM a\nCMD ["a", 1]\n',
    `error[ARGUMENTS_INVALID]: the JSON array of CMD may only hold strings
 --> Buildfile:2:5
  |
2 | CMD ["a", 1]
  |     ^^^^^^^^`,
  ],
  [
    'a time without a unit',
    'FROM a\nHEALTHCHECK --interval=30 CMD x\n',
    `error[FLAG_INVALID]: --interval is a time of at least 1ms, not "30"
 --> Buildfile:2:24
  |
2 | HEALTHCHECK --interval=30 CMD x
  |                        ^^
help: write it with its unit, as in --interval=1m30s`,
  ],
  [
    'ONBUILD of ONBUILD',
    'FROM a\nONBUILD ONBUILD RUN x\n',
    `error[ARGUMENTS_INVALID]: ONBUILD can not be an ONBUILD trigger
 --> Buildfile:2:9
  |
2 | ONBUILD ONBUILD RUN x
  |         ^^^^^^^`,
  ],
  [
    'a flag of an instruction that has none',
    'FROM a\nENV --x=1 a=b\n',
    `error[UNKNOWN_FLAG]: ENV has no flag --x
 --> Buildfile:2:5
  |
2 | ENV --x=1 a=b
  |     ^^^^^
help: ENV takes no flags; write 'ENV -- --x …' if it is an argument`,
  ],
];

for (const [name, text, message] of refused) {
  test(`${name} is refused at its place`, () => {
    expect(messageOf(text)).toBe(message);
  });
}

test('empty lines inside an instruction are told, comments between its lines are not', () => {
  const text = 'FROM a\nRUN x \\\n# comment\n\n\n  y\nRUN z \\\n# comment\n  z\nRUN <<E\n\nE\nRUN w \\\n \t\n';
  const { emptyContinuations } = parseBuildfile({ name: 'Buildfile', text });
  expect(emptyContinuations.map(({ start }) => text.slice(0, start).split('\n').length)).toEqual([4, 14]);
});

test("what was written stays beside what it means: a stage's name, AS, and the old form of ENV", () => {
  const { stages } = parseBuildfile({ name: 'Buildfile', text: 'FROM a as Build\nENV a b\nENV a=b\nFROM x\n' });
  const [first, second] = stages;
  expect([first?.from.as?.keyword.text, first?.from.as?.name.text, second?.from.as]).toEqual(['as', 'Build', null]);
  expect(first?.instructions.map((each) => each.keyword === 'ENV' && each.oldForm)).toEqual([true, false]);
});
