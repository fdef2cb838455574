// docs/features.md says what the tool does: each row is shown, each case has a row, and what is refused is refused with
// the words that the row gives.
import { expect, test } from 'vitest';
import { caseNames, readExpectation } from './support/case-folder.js';
import { casesOf, missingOf, readFeatures } from './support/features.js';

const features = readFeatures();
const names = caseNames();

test('each feature is shown by cases or tests that exist', () => {
  const missing = features.flatMap((feature) => missingOf(feature, names).map((what) => `${feature.name}: ${what}`));
  expect(missing).toEqual([]);
  expect(features.filter((feature) => feature.shownBy.length === 0)).toEqual([]);
});

test('each case shows a feature', () => {
  const shown = new Set(features.flatMap((feature) => casesOf(feature, names)));
  expect(names.filter((name) => !shown.has(name))).toEqual([]);
});

test('what buildah does otherwise has been looked at', () => {
  expect(names.filter((name) => String(readExpectation(name).peer).startsWith('? '))).toEqual([]);
});

test('each feature is done or refused', () => {
  expect(features.filter(({ state }) => state !== 'done' && !state.startsWith('refused: `error['))).toEqual([]);
});

for (const feature of features.filter(({ state }) => state.startsWith('refused'))) {
  test(`${feature.name}: refused as the table says`, () => {
    const message = /`(error\[.*)`/.exec(feature.state)?.[1];
    const said = casesOf(feature, names).flatMap((name) => readExpectation(name).error?.[0] ?? []);
    expect(said).toContain(message);
  });
}
