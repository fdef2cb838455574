// Buildfiles that grow with n.

/** n stages in rows of four; each stage takes files from two of the row above, the last one from all of the last row. */
export function diamond(n: number): string {
  const row = 4;
  const stages = Array.from({ length: Math.max(1, n - 1) }, (_, i) => {
    const above = Math.floor(i / row) * row - row;
    const from = (k: number): string => `COPY --from=s${above + k} /s${above + k} /from${k}\n`;
    const copies = above < 0 ? '' : from(i % row) + from((i + 1) % row);
    return `FROM scratch AS s${i}\n${copies}COPY <<s${i} /\nstage ${i}\ns${i}\n`;
  });
  const last = stages.slice(-row).map((_, k, all) => `COPY --from=s${stages.length - all.length + k} / /r${k}\n`);
  return `${stages.join('')}FROM scratch\n${last.join('')}`;
}

/** n lines as people write them: continued, commented, with variables. */
export function manyLines(n: number): string {
  const lines = [
    '# A comment.',
    'RUN apt-get update \\',
    ' && apt-get install -y "$A" \\',
    ' && true',
    'ENV A="b $C" D=e',
  ];
  const more = ['COPY --chown=1:2 a b /c/', 'LABEL org.example.title="a title"', 'ARG C=d', '', 'WORKDIR /src/$A'];
  const all = [...lines, ...more];
  return `FROM scratch\n${Array.from({ length: n - 1 }, (_, i) => all[i % all.length]).join('\n')}\n`;
}

export const manyInstructions = (n: number): string => `FROM scratch\n${numbered(n, (i) => `ENV V${i}=${i}`)}`;

export const manyLayers = (n: number): string => `FROM scratch\n${numbered(n, (i) => `COPY file /file${i}`)}`;

function numbered(n: number, line: (i: number) => string): string {
  return Array.from({ length: n }, (_, i) => `${line(i)}\n`).join('');
}
