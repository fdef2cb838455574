// The config of our images compared with what buildah makes of the same Buildfile on the same base.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { installed, isRoot, output, people } from '../support/tsbuild.js';

const [person] = people();
const missing = [...(isRoot ? [] : ['root']), ...['buildah', 'skopeo'].filter((program) => !installed(program))].join();

type Config = Readonly<Record<string, unknown>>;

/** Where we differ on purpose, and how buildah's config would say it our way. */
const differences: readonly { readonly reason: string; readonly adapt: (theirs: Config) => Config }[] = [
  {
    reason: 'buildah labels images with its version',
    adapt: ({ Labels, ...rest }) => {
      const { 'io.buildah.version': _, ...labels } = Labels as Record<string, string>;
      return { ...rest, ...(Object.keys(labels).length > 0 ? { Labels: labels } : {}) };
    },
  },
  {
    reason: 'EXPOSE 8000-8002 is three ports, as docker has it: the image-spec knows no ranges',
    adapt: ({ ExposedPorts, ...rest }) => {
      if (!ExposedPorts) return rest;
      const ports = Object.keys(ExposedPorts).flatMap((text) => {
        const [, from, to, protocol] = /^(\d+)-(\d+)\/(\w+)$/.exec(text) ?? [];
        if (!from) return [text];
        return Array.from({ length: Number(to) - Number(from) + 1 }, (_, i) => `${Number(from) + i}/${protocol}`);
      });
      return { ...rest, ExposedPorts: Object.fromEntries(ports.map((port) => [port, {}])) };
    },
  },
  {
    reason: 'SHELL holds for ENTRYPOINT too, as the Dockerfile reference says; buildah keeps /bin/sh -c',
    adapt: ({ Entrypoint, Shell, ...rest }) => {
      const [shell, flag, ...words] = (Entrypoint ?? []) as string[];
      if (!Shell || shell !== '/bin/sh' || flag !== '-c') return { Entrypoint, Shell, ...rest };
      return { Entrypoint: [...(Shell as string[]), ...words], Shell, ...rest };
    },
  },
];

const compared = [
  ...['Env', 'Entrypoint', 'Cmd', 'WorkingDir', 'User', 'ExposedPorts', 'Volumes', 'Labels', 'StopSignal'],
  ...['Shell', 'Healthcheck', 'OnBuild'],
];

/** The compared fields that say something. The order of variables is nobody's business: each name comes once. */
function comparable(config: Config): Config {
  const said = compared.flatMap((field) => {
    const value = config[field];
    const says = value !== null && value !== undefined && value !== '' && Object.keys(value).length > 0;
    return says ? [[field, field === 'Env' ? [...(value as string[])].sort() : value]] : [];
  });
  return Object.fromEntries(said);
}

const buildfiles: Readonly<Record<string, string>> = {
  'everything said once': `ARG BASE
FROM $BASE
ENV A=1 B="two words"
ENV LEGACY some value  with spaces
LABEL one=1 "two words"="a b" three="it's" four=4\\
      five=5
WORKDIR /srv
EXPOSE 80 443/tcp 53/udp 8000-8002
VOLUME /data /logs
VOLUME ["/with space"]
USER 12:34
STOPSIGNAL SIGUSR1
ENTRYPOINT ["/bin/echo", "a b"]
CMD ["x", "y z"]
HEALTHCHECK --interval=5s --timeout=1m --retries=4 CMD test -e /srv
ONBUILD RUN echo hello
`,
  'shell forms and another shell': `ARG BASE
FROM $BASE
CMD echo first
SHELL ["/bin/sh", "-ec"]
ENTRYPOINT echo $A "b c"
HEALTHCHECK NONE
STOPSIGNAL 9
`,
  'what came from the base is replaced': `ARG BASE
FROM $BASE AS first
ENV PATH=/opt/bin:$PATH KEPT=1 CHANGED=1
LABEL kept=1 changed=1
WORKDIR /first
EXPOSE 1
VOLUME /one
USER 5
ENTRYPOINT ["/first"]
CMD ["first"]
FROM first AS second
ENV CHANGED=2
LABEL changed=2
WORKDIR relative
EXPOSE 2
VOLUME /two
USER 0
ENTRYPOINT ["/second"]
`,
  'variables in every place': `ARG BASE
ARG OUTER=outer
FROM $BASE
ARG OUTER
ARG GIVEN=no
ARG DEFAULT=default
ENV FROM_ARG=$OUTER-$GIVEN-\${DEFAULT} SAME=$FROM_ARG
ENV LATER=$FROM_ARG QUOTED='$OUTER' ESCAPED=\\$OUTER DOUBLE="$OUTER \\"x\\""
ENV UNSET_DEFAULT=\${NONE:-d} SET_OTHER=\${OUTER:+o} UNSET_OTHER=\${NONE:+o} EMPTY=$NONE
LABEL label.$OUTER="v $GIVEN"
WORKDIR /$OUTER/\${GIVEN}
EXPOSE \${NONE:-8080}
USER \${OUTER}:$DEFAULT
VOLUME /v/$OUTER
CMD ["$OUTER", "\${GIVEN}"]
ENTRYPOINT ["/bin/sh", "-c", "echo $GIVEN"]
`,
  'steps and files in between': `ARG BASE
FROM $BASE AS build
ENV STAGE=build
RUN echo made > /made
FROM $BASE
COPY --from=build /made /made
COPY Buildfile /srv/
RUN test -s /made && echo step > /step
CMD ["cat", "/made"]
`,
};

describe.skipIf(missing !== '')(`as buildah has it${missing && ` (skipped: no ${missing})`}`, () => {
  let base: string;
  beforeAll(async () => {
    const dir = person!.dir('base');
    base = join(dir, 'base.tar');
    writeFileSync(join(dir, 'Buildfile'), 'FROM host://sh,coreutils\n');
    output(await person!.run(['-t', 'base', dir]));
    output(await person!.run(['save', '--format', 'oci-archive', '-o', base, 'base']));
  });

  function buildahConfig(dir: string, args: readonly string[]): Config {
    const archive = join(dir, 'theirs.tar');
    const storage = ['--root', join(dir, 'root'), '--runroot', join(dir, 'runroot'), '--storage-driver', 'vfs'];
    const limits = ['--isolation', 'chroot', '--ulimit', 'nofile=1024:4096', '--ulimit', 'nproc=1024:4096'];
    // The docker format, since buildah leaves SHELL, HEALTHCHECK and ONBUILD out of OCI ones.
    const kind = ['--format', 'docker', '-t', `docker-archive:${archive}`];
    const policy = join(dir, 'policy.json');
    writeFileSync(policy, '{ "default": [{ "type": "insecureAcceptAnything" }] }');
    const build = [...storage, 'bud', '--signature-policy', policy, ...limits, ...kind, ...args];
    execFileSync('buildah', [...build, '-f', join(dir, 'Buildfile'), dir], { stdio: 'pipe' });
    const shown = execFileSync('skopeo', ['inspect', '--config', '--raw', `docker-archive:${archive}`]);
    return JSON.parse(shown.toString()).config;
  }

  for (const [what, text] of Object.entries(buildfiles)) {
    test(what, async () => {
      const dir = person!.dir('same');
      writeFileSync(join(dir, 'Buildfile'), text);
      const given = text.includes('ARG GIVEN') ? ['--build-arg', 'GIVEN=given'] : [];
      const args = ['--build-arg', `BASE=oci-archive:${base}`, ...given];
      output(await person!.run(['-t', 'ours', ...args, dir]));
      const ours: Config = JSON.parse(output(await person!.run(['inspect', 'ours'])))[0].Config;
      const theirs = differences.reduce((config, { adapt }) => adapt(config), buildahConfig(dir, args));
      expect(comparable(ours)).toEqual(comparable(theirs));
    });
  }
});
