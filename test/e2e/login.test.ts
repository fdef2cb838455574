// tsbuild login and logout against a registry with passwords, and what the other commands make of them.
import { chmodSync, copyFileSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { certificate } from '../store/certificates.js';
import { hasRegistry, startRegistry } from '../store/transport-server.js';
import { installed, output, people } from '../support/tsbuild.js';

for (const person of people()) {
  describe.skipIf(!hasRegistry() || !installed('skopeo'))(`${person.name} logs in`, () => {
    const authJson = join(person.home, '.config/containers/auth.json');

    test('with the right password only, and can push and pull then; logged out again, not', async () => {
      const registry = await startRegistry({ auth: true });
      const dir = person.dir('context');
      writeFileSync(join(dir, 'Buildfile'), 'FROM scratch\nCOPY Buildfile /\n');
      output(await person.run(['-q', '-t', 'app:1', person.own(dir)]));
      const name = `${registry.name}/app:1`;
      const login = ['login', '-u', 'user', '--password-stdin', registry.name];

      const anonymous = await person.run(['push', 'app:1', name]);
      expect(anonymous.code).toBe(1);
      expect(anonymous.stderr).toContain('error[REGISTRY_UNAUTHORIZED]');
      expect(anonymous.stderr).toContain(`no login was sent: there is none for ${registry.name} in `);
      expect(anonymous.stderr).toContain(`log in with 'tsbuild login ${registry.name}'`);

      const wrong = await person.run(login, { input: 'canary\n' });
      expect(wrong.code).toBe(1);
      expect(wrong.stderr).toContain(`${registry.name} does not accept this user and password`);
      expect(wrong.stderr).not.toContain('canary');
      expect(existsSync(authJson)).toBe(false);

      const done = output(await person.run(login, { input: 'secret\n' }));
      expect(done).toBe(`Login Succeeded: ${registry.name}, kept in ${authJson}\n`);
      expect(statSync(authJson).mode & 0o777).toBe(0o600);
      output(await person.run(['push', 'app:1', name]));
      output(await person.run(['pull', name]));

      expect(output(await person.run(['logout', registry.name]))).toContain(authJson);
      expect(JSON.parse(readFileSync(authJson, 'utf8'))).toEqual({ auths: {} });
      expect((await person.run(['pull', name])).stderr).toContain('REGISTRY_UNAUTHORIZED');
      expect(output(await person.run(['logout', registry.name]))).toBe(`Not logged in to ${registry.name}\n`);
    });

    test('where the registry is known already, and what else is there stays', async () => {
      const registry = await startRegistry({ auth: true });
      const config = join(person.home, '.docker/config.json');
      mkdirSync(join(person.home, '.docker'), { recursive: true });
      const other = { detachKeys: 'ctrl-e,e', auths: { 'other.example': { auth: 'eDp5' } } };
      writeFileSync(config, JSON.stringify({ ...other, auths: { ...other.auths, [registry.name]: { auth: 'eDp5' } } }));
      person.own(person.home);
      const refused = await person.run(['pull', `${registry.name}/app:1`]);
      expect(refused.stderr).toContain(`sent was the login of user "x" from ${config}`);
      const login = ['login', '-u', 'user', '--password-stdin', `https://${registry.name}/v2/`];
      expect(output(await person.run(login, { input: 'secret' }))).toContain(config);
      expect(JSON.parse(readFileSync(config, 'utf8'))).toEqual({
        ...other,
        auths: { ...other.auths, [registry.name]: { auth: Buffer.from('user:secret').toString('base64') } },
      });
      output(await person.run(['logout', registry.name]));
      expect(JSON.parse(readFileSync(config, 'utf8'))).toEqual(other);
    });

    test('into a helper, which keeps the password and gives it back', async () => {
      const registry = await startRegistry({ auth: true });
      const home = person.dir('helped');
      mkdirSync(join(home, 'bin'));
      writeFileSync(
        join(home, 'bin/docker-credential-file'),
        `#!/bin/sh\ncase $1 in
          store) cat > "$HOME/kept";;
          get) cat "$HOME/kept" 2>/dev/null || { echo credentials not found in native keychain; exit 1; };;
          erase) rm -f "$HOME/kept";;
        esac\n`,
      );
      chmodSync(join(home, 'bin/docker-credential-file'), 0o755);
      mkdirSync(join(home, '.docker'));
      writeFileSync(join(home, '.docker/config.json'), '{"credsStore":"file"}');
      person.own(home);
      const env = { HOME: home, PATH: `${home}/bin:${process.env.PATH}` };
      const login = ['login', '-u', 'user', '--password-stdin', registry.name];
      expect(output(await person.run(login, { env, input: 'secret' }))).toContain('kept in docker-credential-file');
      expect(readFileSync(join(home, '.docker/config.json'), 'utf8')).toBe('{"credsStore":"file"}');
      const missing = await person.run(['pull', `${registry.name}/none:1`], { env });
      expect(missing.stderr).toContain(`${registry.name} has no ${registry.name}/none:1`);
      output(await person.run(['logout', registry.name], { env }));
      expect(existsSync(join(home, 'kept'))).toBe(false);
    });

    test('for skopeo too, into a file of its own', async () => {
      const registry = await startRegistry({ auth: true });
      const file = join(person.dir('own'), 'auth.json');
      const login = ['login', '-u', 'user', '--password-stdin', '--authfile', file, registry.name];
      output(await person.run(login, { input: 'secret' }));
      const { execFileSync } = await import('node:child_process');
      const said = execFileSync('skopeo', ['login', '--get-login', '--authfile', file, registry.name], {
        encoding: 'utf8',
      });
      expect(said).toBe('user\n');
      const refused = await person.run(['pull', '--authfile', '/nonexistent', `${registry.name}/app:1`]);
      expect(refused.stderr).toContain('there is no /nonexistent to be read');
    });

    test('over TLS, with --cert-dir or --tls-verify=false as podman has them', async () => {
      const certs = person.dir('certs');
      const tls = certificate(certs, 'server', { names: 'IP:127.0.0.1' });
      const registry = await startRegistry({ auth: true, tls });
      copyFileSync(tls.cert, join(certs, 'ca.crt'));
      person.own(certs);
      const file = join(person.dir('tls'), 'auth.json');
      const login = ['login', '-u', 'user', '--password-stdin', '--authfile', file, registry.name];
      const refused = await person.run(login, { input: 'secret' });
      expect(refused.stderr).toMatch(
        /^error\[REGISTRY_TLS\]: 127.0.0.1:\d+: self-signed certificate\nhelp: .*certs\.d/,
      );
      for (const flag of [`--cert-dir=${certs}`, '--tls-verify=false'])
        output(await person.run([...login, flag], { input: 'secret' }));
      const pulled = await person.run(['pull', '--cert-dir', certs, '--authfile', file, `${registry.name}/none:1`]);
      expect(pulled.stderr).toContain(`has no ${registry.name}/none:1`);
    });

    test('never with a password among the arguments', async () => {
      const { code, stderr } = await person.run(['login', '-u', 'user', '-p', 'canary', 'localhost:1']);
      expect(code).toBe(2);
      expect(stderr).toContain('--password-stdin');
      expect((await person.run(['login', '-u', 'user', 'localhost:1'])).stderr).toContain('no terminal');
      expect((await person.run(['login', 'localhost:1/team/app'])).stderr).toContain('is no registry');
    });
  });
}
