import { mkdirSync, writeFileSync } from 'node:fs';
import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { casesOf, type Feature, readFeatures } from './features.js';

const file = 'test-report/cases.md';

/** Writes what became of each feature's cases, and prints it in short. */
class CasesReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const cases = new Map<string, Result[]>();
    for (const module of modules) {
      if (!module.moduleId.endsWith('/test/cases.test.ts')) continue;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        if (state === 'skipped') continue;
        cases.set(test.name, [...(cases.get(test.name) ?? []), { by: builder(test), passed: state === 'passed' }]);
      }
    }
    if (cases.size === 0) return;
    const all = readFeatures().map((feature) => ({ feature, names: casesOf(feature, [...cases.keys()]) }));
    const rows = all.filter(({ names }) => names.length > 0);
    mkdirSync('test-report', { recursive: true });
    writeFileSync(file, table(rows, cases));
    // After the other reporters' summaries, and before the count of all.
    process.once('exit', () => console.log(`${summary(rows, cases)}\n${file}: feature × case × result`));
  }
}

interface Row {
  readonly feature: Feature;
  readonly names: readonly string[];
}

interface Result {
  readonly by: string;
  readonly passed: boolean;
}

/** Who built it: 'root', 'user' or 'buildah'. */
function builder({ parent }: TestCase): string {
  return (parent.type === 'suite' ? parent.name : '').replace(/^built (as|by) /, '');
}

function table(rows: readonly Row[], cases: ReadonlyMap<string, readonly Result[]>): string {
  const lines = ['| Feature | Case | Result |', '| --- | --- | --- |'];
  let section = '';
  for (const { feature, names } of rows) {
    if (feature.section !== section) lines.push(`| **${feature.section}** | | |`);
    section = feature.section;
    const title = `${feature.name.replaceAll('|', '\\|')}${feature.state === 'done' ? '' : ' (refused)'}`;
    names.forEach((name, i) => {
      const results = (cases.get(name) ?? []).map(({ by, passed }) => `${passed ? 'passed' : 'FAILED'} as ${by}`);
      lines.push(
        `| ${i === 0 ? title : ''} | ${name} | ${results.join(', ').replace('as buildah', 'against buildah')} |`,
      );
    });
  }
  return `${lines.join('\n')}\n`;
}

/** One line a section: features, cases, and how many of these failed or were confirmed by buildah. */
function summary(rows: readonly Row[], cases: ReadonlyMap<string, readonly Result[]>): string {
  const sections = [...new Set(rows.map(({ feature }) => feature.section))];
  const lines = sections.map((section) => {
    const ours = rows.filter(({ feature }) => feature.section === section);
    const names = [...new Set(ours.flatMap((row) => row.names))];
    const withResult = (wanted: (result: Result) => boolean): number =>
      names.filter((name) => cases.get(name)?.some(wanted)).length;
    const failed = withResult(({ passed }) => !passed);
    const confirmed = withResult(({ by, passed }) => by === 'buildah' && passed);
    return [section, `${ours.length} features`, `${names.length} cases`, `${confirmed} as buildah`, `${failed} failed`];
  });
  const widths = [0, 1, 2, 3, 4].map((i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)));
  return lines
    .map((line) =>
      line.map((cell, i) => (i === 0 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0))).join('  '),
    )
    .join('\n');
}

// biome-ignore lint/style/noDefaultExport: vitest loads reporters by their default export
export default CasesReporter;
