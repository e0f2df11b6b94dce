// Tests which sources are those of a release, and its notes.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import {
  cutSection,
  findReleaseProblems,
  makeLinksAbsolute,
  type ReleaseSources,
} from '../../release/release-version.ts';

const changelog = `# Changelog

## [Unreleased]

## [1.2.0] - 2026-11-27

### Added

- A thing ([page](pages/page.md)).

## [1.1.0] - 2026-10-01

- Older.

[1.2.0]: https://example.com/compare
`;

const sources: ReleaseSources = {
  tag: 'v1.2.0',
  packageVersion: '1.2.0',
  chart: { version: '1.2.0', appVersion: '1.2.0' },
  changelog,
  unreleased: false,
};

describe('the sources of a release', () => {
  it('agree on one version', () => {
    assert.deepEqual(findReleaseProblems(sources), []);
    assert.deepEqual(findReleaseProblems({ ...sources, tag: undefined }), []);
  });

  it('are refused with every disagreement', () => {
    const chart = { version: '1.2.0', appVersion: '1.1.0' };
    assert.deepEqual(findReleaseProblems({ ...sources, packageVersion: '1.3.0', chart }), [
      'the tag is v1.2.0, but package.json requires v1.3.0',
      'version in Chart.yaml is 1.2.0, but package.json requires 1.3.0',
      'appVersion in Chart.yaml is 1.1.0, but package.json requires 1.3.0',
      'CHANGELOG.md has no entries under "## [1.3.0]"',
    ]);
    assert.deepEqual(findReleaseProblems({ ...sources, unreleased: true }), [
      'CHANGELOG.md has no entries under "## [Unreleased]"',
    ]);
  });
});

describe('the notes of a release', () => {
  it('are the section of its version, without the link definitions of the changelog', () => {
    assert.equal(cutSection(changelog, '[1.2.0]'), '### Added\n\n- A thing ([page](pages/page.md)).');
    assert.equal(cutSection(changelog, '[1.1.0]'), '- Older.');
    assert.equal(cutSection(changelog, '[1.2]'), '');
  });

  it('link to the files of the tag', () => {
    const base = 'https://example.com/blob/v1';
    const text = '[a](pages/a.md#b) [c](https://c.example) [d](#d) [e](../../pages/e.md)';
    assert.equal(
      makeLinksAbsolute(text, 'charts/x/', base),
      `[a](${base}/charts/x/pages/a.md#b) [c](https://c.example) [d](#d) [e](${base}/pages/e.md)`,
    );
  });
});
