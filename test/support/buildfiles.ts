// Buildfiles as people write them, and what is left of them after an accident.
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are the shell's variables
import { readdirSync, readFileSync } from 'node:fs';
import fc from 'fast-check';

export const samples = [
  ...readdirSync(new URL('../../builds', import.meta.url)).map((name) =>
    readFileSync(new URL(`../../builds/${name}/Buildfile`, import.meta.url), 'utf8'),
  ),
  `# syntax=docker/dockerfile:1
# escape=\\
ARG GO=1.22 VARIANT="bookworm"
FROM --platform=$BUILDPLATFORM golang:\${GO}-\${VARIANT:-slim} AS build
WORKDIR /src
RUN --mount=type=cache,target=/root/.cache,id=go \\
    --mount=type=bind,source=go.mod,target=go.mod \\
    # the comment
    go mod download -x
COPY --chown=1000:1000 --exclude=*.md . .
RUN <<'EOF' sh
set -e
go build -o /out/app ./...
EOF
ENV A=1 B="two words" C=three\\ words \\
    D='single $quoted'
LABEL org.opencontainers.image.title="app" version=1
ONBUILD COPY <<A <<-B /x/
a
A
	b
	B
HEALTHCHECK --interval=30s --retries=3 CMD ["curl", "-f", "http://localhost/"]
FROM scratch
COPY --from=build /out/app /app
EXPOSE 8080/tcp 9000-9010
VOLUME ["/data"]
USER 65532:65532
STOPSIGNAL SIGINT
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ENTRYPOINT ["/app"]
CMD ["--help"]
`,
];

export const fragments = fc.constantFrom(
  ...['\n', '\r\n', '\r', ' ', '\t', '\\', '\\\n', '`', '"', "'", '$', '${', '}', '<<', '<<-E', '<<EOF', 'EOF\n'],
  ...['#', '# a=b\n', '--', '--mount=', '--from=', '=', ',', '[', ']', '["a"', '{', ':', '/', 'FROM ', 'RUN ', 'COPY '],
  ...['ONBUILD ', 'ENV ', 'ARG ', 'HEALTHCHECK ', 'AS ', '\0', '\uFEFF', 'é', '😀', '\ud800', '\u2028', '&&', 'x'],
);

/** A sample with pieces missing, doubled or put in. */
export function mutated(): fc.Arbitrary<string> {
  const mutation = fc.tuple(fc.nat(), fc.nat(20), fragments, fc.constantFrom('put', 'drop', 'double'));
  return fc
    .tuple(fc.constantFrom(...samples), fc.array(mutation, { minLength: 1, maxLength: 6 }))
    .map(([sample, mutations]) =>
      mutations.reduce((text, [where, length, put, kind]) => {
        const at = where % (text.length + 1);
        if (kind === 'put') return text.slice(0, at) + put + text.slice(at);
        if (kind === 'drop') return text.slice(0, at) + text.slice(at + length);
        return text.slice(0, at + length) + text.slice(at);
      }, sample),
    );
}
