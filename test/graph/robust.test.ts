// Whatever parses is planned or refused at its place, and a graph has its parents first.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the shell's variables
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { BuildError } from '../../src/base/index.js';
import { plan } from './support.js';

const word = fc.constantFrom('a', 'b', '0', '1', '9', '$A', '${B:-x}', '${C:?no}', '"q', '/x/', '.', '', '80', 'me:us');
const line = fc.oneof(
  fc.tuple(word, fc.constantFrom('', ' AS a', ' AS b', ' AS c')).map(([base, name]) => `FROM ${base}${name}`),
  fc
    .tuple(
      fc.constantFrom(
        'RUN ',
        'ENV V=',
        'ARG A=',
        'WORKDIR ',
        'USER ',
        'EXPOSE ',
        'CMD ',
        'VOLUME ',
        'STOPSIGNAL ',
        'LABEL x=',
      ),
      word,
    )
    .map(([keyword, value]) => keyword + value),
  fc
    .tuple(fc.constantFrom('', 'ONBUILD '), word, word)
    .map(([on, from, file]) => `${on}COPY --from=${from} ${file} /d`),
  fc
    .tuple(fc.constantFrom('bind', 'cache', 'tmpfs', 'secret', 'ssh'), word, word)
    .map(([type, target, id]) => `RUN --mount=type=${type},target=${target},id=${id} x`),
  fc.tuple(word, word).map(([platform, base]) => `FROM --platform=linux/${platform} ${base}`),
);
const triggers = fc.array(line, { maxLength: 2 });

test('any lines make a sound graph, or an error with a place', () => {
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 12 }),
      triggers,
      fc.constantFrom('a', '0', undefined),
      (lines, onbuild, target) => {
        try {
          const graph = plan(['ARG B=b', 'FROM a AS a', ...lines].join('\n'), {
            ...(target && { target }),
            images: { b: { OnBuild: onbuild } },
          });
          expect(graph.vertices.map(({ id }) => id)).toEqual(graph.vertices.map((_, i) => i));
          expect(graph.result).toBeLessThan(graph.vertices.length);
          for (const vertex of graph.vertices) {
            if (vertex.kind !== 'base') expect(vertex.parent).toBeLessThan(vertex.id);
            if (vertex.kind === 'copy' && vertex.from.kind === 'vertex')
              expect(vertex.from.vertex).toBeLessThan(vertex.id);
          }
          const made = graph.history.flatMap(({ vertex }) => vertex ?? []);
          expect(made).toEqual([...made].sort((a, b) => a - b));
        } catch (error) {
          if (!(error instanceof BuildError)) throw error;
          expect(error.at, error.message).toBeDefined();
        }
      },
    ),
    { numRuns: 5000 },
  );
});
