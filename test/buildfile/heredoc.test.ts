import { expect, test } from 'vitest';
import { type Heredoc, parseBuildfile } from '../../src/buildfile/index.js';

/** [name, content, expand] of the heredocs of the first instruction, and how many instructions there are. */
function heredocs(text: string): { found: [string, string, boolean][]; instructions: number } {
  const { instructions } = parseBuildfile({ name: 'Buildfile', text: `FROM a\n${text}` }).stages[0]!;
  const first = instructions[0]!;
  const list: readonly Heredoc[] =
    first.keyword === 'RUN' && first.command.form === 'shell'
      ? first.command.heredocs
      : first.keyword === 'COPY' || first.keyword === 'ADD'
        ? first.inline
        : [];
  return {
    found: list.map(({ name, content, expand }) => [name, content, expand]),
    instructions: instructions.length,
  };
}

const cases: [text: string, found: [string, string, boolean][]][] = [
  ['RUN <<EOF\nEOF', [['EOF', '', true]]],
  ['RUN 3<<EOF\nx\nEOF\n', [['EOF', 'x\n', true]]],
  ['RUN cat 3<<EOF\nx\nEOF\n', [['EOF', 'x\n', true]]],
  ['RUN <<EOF\n# no comment\n\\\nRUN x\nEOF\n', [['EOF', '# no comment\n\\\nRUN x\n', true]]],
  ['RUN <<-EOF\n\t\tx\n\t y\n\tEOF\n', [['EOF', 'x\n y\n', true]]],
  ["RUN <<'EOF'\n$x\nEOF\n", [['EOF', '$x\n', false]]],
  ['RUN <<"E O"\n$x\nE O\n', [['E O', '$x\n', false]]],
  ["RUN <<eo'f'\nx\neof\n", [['eof', 'x\n', false]]],
  ["RUN <<eo\\'f\nx\neo'f\n", [["eo'f", 'x\n', true]]],
  ['RUN <<$EOF\n$EOF\n', [['$EOF', '', true]]],
  ['RUN <<  EOF > x\nEOF\n', [['EOF', '', true]]],
  ['RUN <<- EOF\n\tEOF\n', [['EOF', '', true]]],
  [
    'COPY <<X <<Y /dest\nY\nX\nX\nY\n',
    [
      ['X', 'Y\n', true],
      ['Y', 'X\n', true],
    ],
  ],
  [
    'COPY <<-A <<B /dest/\n\ta\n\tA\n\tb\nB\n',
    [
      ['A', 'a\n', true],
      ['B', '\tb\n', true],
    ],
  ],
  ['COPY --chmod=755 <<file.txt \\\n  /dest\nx\nfile.txt\n', [['file.txt', 'x\n', true]]],
  ['RUN <<COMPLEX python3\nprint()\nCOMPLEX\n', [['COMPLEX', 'print()\n', true]]],
  ['RUN echo "a <<EOF b"\n', []],
  ["RUN '<<EOF'\n", []],
  ['RUN "<<EOF"\n', []],
  ['RUN ["<<EOF"]\n', []],
  ['RUN cat <<<EOF\n', []],
  ['RUN cat <<< EOF\n', []],
  ['RUN echo $((1<<2)) $((1 << 2))\n', []],
  ["RUN echo don't <<EOF\n", []], // the quote never closes: no shell would get that far
  ['USER <<EOF\n', []],
];

for (const [text, found] of cases) {
  test(`${JSON.stringify(text)} has ${found.length} heredocs and is one instruction`, () => {
    expect(heredocs(text)).toEqual({ found, instructions: 1 });
  });
}

test('a lone heredoc is the script; beside other words the shell reads it', () => {
  const commandOf = (text: string): unknown => {
    const run = parseBuildfile({ name: 'Buildfile', text: `FROM a\n${text}` }).stages[0]!.instructions[0]!;
    return run.keyword === 'RUN' && run.command.form === 'shell' && run.command.script?.name;
  };
  expect(commandOf('RUN <<EOF\nx\nEOF')).toBe('EOF');
  expect(commandOf('RUN --network=none <<EOF\nx\nEOF')).toBe('EOF');
  expect(commandOf('RUN <<EOF sh\nx\nEOF')).toBeUndefined();
  expect(commandOf('RUN <<A <<B\nx\nA\nB')).toBeUndefined();
});

test('a heredoc can not be where COPY writes to', () => {
  expect(() => heredocs('COPY a <<EOF\nEOF\n')).toThrow(expect.objectContaining({ code: 'ARGUMENTS_INVALID' }));
  expect(() => heredocs('COPY a b <<EOF\nEOF\n')).toThrow(expect.objectContaining({ code: 'ARGUMENTS_INVALID' }));
});
