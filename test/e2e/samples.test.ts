// The samples in builds/, built and run as their reader would; then what later builds may and may not repeat.
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { machine } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { asExtracted, erofsReadings, wholeSeconds } from '../store/erofs-oracle.js';
import { type KernelTree, mountObstacle, withoutNotes } from '../store/kernel-tree.js';
import { umociTree } from '../store/layer-readers.js';
import { debianTar } from '../support/debian-base.js';
import { newerErofsUtils } from '../support/newer-erofs-utils.js';
import { cachedSteps, executed, reasons, stepOutput, timed } from '../support/progress.js';
import { registrySecrets } from '../support/registry-secrets.js';
import { served } from '../support/served.js';
import { installed, output, type Person, people, type Result } from '../support/tsbuild.js';
import { changes } from './sample-changes.js';

const samples = readdirSync('builds');
const hasDebian = installed('mmdebstrap');
/** The ordinary user builds those that need no network; root has them all. */
const withoutNetwork = ['hello', 'web-page'];

const buildfile = (sample: string): string => readFileSync(join('builds', sample, 'Buildfile'), 'utf8');
const expected = (sample: string): string =>
  readFileSync(join('builds', sample, 'expected-output'), 'utf8').replaceAll('@MACHINE@', machine());
const wantsDebian = (sample: string): boolean => /^FROM debian/m.test(buildfile(sample));

function copyOf(person: Person, sample: string): string {
  const dir = person.dir(sample);
  cpSync(join('builds', sample), dir, { recursive: true });
  return person.own(dir);
}

const report: string[] = [];

async function build(person: Person, sample: string, what: string, dir: string, args: readonly string[] = []) {
  const secrets = registrySecrets(buildfile(sample));
  const all = ['-f', join(dir, 'Buildfile'), '-t', sample, ...secrets.args, ...args, dir];
  const started = performance.now();
  const result = await timed(`${sample}, ${what}, by ${person.name}`, () => person.run(all, { env: secrets.env }));
  output(result);
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const steps = executed(result.stderr).map((step) => `\`${shortened(withoutMounts(step))}\``);
  const cells = [sample, what, person.name, `${seconds} s`, cachedSteps(result.stderr), steps.join(', ') || '–'];
  report.push(`| ${cells.join(' | ')} | ${reasons(result.stderr).join('; ') || '–'} |`);
  return result;
}

const digestOf = ({ stderr }: Result): string | undefined => /^built (sha256:[0-9a-f]{64})/m.exec(stderr)?.[1];

/** A step without its mounts, on one line. */
const withoutMounts = (step: string): string => step.replaceAll(/ --mount=\S+/g, '').replaceAll(/ +/g, ' ');

const shortened = (step: string): string => (step.length > 50 ? `${step.slice(0, 49)}…` : step);

/** What a sample is there to show. */
async function shown(person: Person, sample: string): Promise<string> {
  return sample === 'web-page' ? served(person, sample, '/layers.html') : output(await person.run(['run', sample]));
}

afterAll(() => {
  const titles = ['Sample', 'Build', 'By', 'Took', 'Steps cached', 'Steps executed', 'Why'];
  const head = `| ${titles.join(' | ')} |\n| --- | --- | --- | --: | --: | --- | --- |`;
  const text = `${head}\n${report.join('\n')}\n`;
  mkdirSync('test-report', { recursive: true });
  writeFileSync('test-report/samples.md', text);
  console.log(text);
});

const everyone = people();
for (const person of everyone) {
  describe(`${person.name} builds`, () => {
    const first = new Map<string, Result>();
    const mine = person.name === 'root' ? samples : withoutNetwork;
    beforeAll(async () => {
      if (mine.some(wantsDebian) && hasDebian)
        output(await person.run(['import', '-t', 'debian:bookworm', debianTar()]));
    });

    for (const sample of mine) {
      const missing = wantsDebian(sample) && !hasDebian;
      const reason = missing ? ' (skipped: no mmdebstrap)' : '';

      test.skipIf(missing)(`${sample}, which shows what it should${reason}`, async () => {
        const result = await build(person, sample, 'first', copyOf(person, sample));
        expect(executed(result.stderr)).not.toEqual([]);
        expect(await shown(person, sample)).toBe(expected(sample));
        first.set(sample, result);
      });

      test.skipIf(missing)(
        `${sample} again, from elsewhere with other times, and nothing is executed${reason}`,
        async () => {
          const dir = copyOf(person, sample);
          for (const name of readdirSync(dir)) utimesSync(join(dir, name), 1e9, 1e9);
          const again = await build(person, sample, 'again', dir);
          expect(executed(again.stderr)).toEqual([]);
          expect(digestOf(again)).toBe(digestOf(first.get(sample)!));
        },
      );

      for (const change of changes.filter((each) => each.sample === sample)) {
        const { what, edit, args, prints } = change;
        test.skipIf(missing)(`${sample} with ${what}, and what depends on it is executed${reason}`, async () => {
          const dir = copyOf(person, sample);
          if (edit) {
            const [file, text, by] = edit;
            const before = readFileSync(join(dir, file), 'utf8');
            expect(before).toContain(text);
            writeFileSync(join(dir, file), before.replaceAll(text, by));
          }
          const changed = await build(person, sample, what, dir, args);
          expect(executed(changed.stderr).map(withoutMounts)).toEqual(change.repeats);
          expect(reasons(changed.stderr)).toHaveLength(change.repeats.length);
          if (change.repeats.length > 0) expect(reasons(changed.stderr)[0]).toMatch(change.because);
          const lines = stepOutput(changed.stderr);
          for (const said of change.says ?? []) expect(lines).toContainEqual(expect.stringMatching(said));
          if (change.saves) {
            const saved = expect.stringMatching(change.saves);
            expect(stepOutput(first.get(sample)!.stderr)).toContainEqual(saved);
            expect(lines).not.toContainEqual(saved);
          }
          expect(await shown(person, sample)).toBe(expected(sample).replaceAll(...prints));
        });
      }
    }
  });
}

const tools = newerErofsUtils();
const obstacle = typeof tools === 'string' ? tools : mountObstacle();
/** Large ones only where there is a night for it. */
const maxLayerBytes = process.env.TSBUILD_NIGHTLY ? Number.POSITIVE_INFINITY : 20e6;

test.skipIf(obstacle)(
  `their layers are read by erofs-utils and umoci as by us${obstacle ? ` (skipped: ${obstacle})` : ''}`,
  { timeout: 1_800_000 },
  () => {
    const root = everyone.find(({ name }) => name === 'root')!;
    const layers = join(root.store, 'layers/sha256');
    const scratch = root.dir('readings');
    let count = 0;
    for (const name of readdirSync(layers)) {
      if (statSync(join(layers, name, 'tar')).size > maxLayerBytes) continue;
      const tar = join(scratch, name);
      copyFileSync(join(layers, name, 'tar'), tar);
      const { ours, theirs, extracted } = erofsReadings(tools as Exclude<typeof tools, string>, tar);
      expect(wholeSeconds(theirs)).toEqual(wholeSeconds(ours));
      expect(asExtracted(extracted)).toEqual(asExtracted(ours));
      expect(withoutNotes(umociTree(tar, scratch))).toEqual(withoutMarkers(ours));
      count++;
    }
    expect(count).toBeGreaterThan(5);
  },
);

/** umoci applies them, to nothing. */
function withoutMarkers(tree: KernelTree): KernelTree {
  return new Map([...tree].filter(([, file]) => file !== 'broken' && file.mode !== 0o020000));
}
