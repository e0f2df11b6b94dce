// Tests of the chart's metadata, and of what its package contains.
import assert from 'node:assert/strict';
import { access, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { runProgram } from '../support/run-program.ts';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder } from './helm.ts';

const repository = join(import.meta.dirname, '../..');

/** The path in the repository of an address that shows one of its files. */
function pathOf(url: string): string | undefined {
  return /ecr-pull-secrets\/(?:blob\/)?main\/(.+)$/.exec(url)?.[1];
}

describe('the metadata of the chart', async () => {
  const chart = parse(await readFile(join(chartFolder, 'Chart.yaml'), 'utf8'));

  it('names an icon and pages that exist', async () => {
    const links: { name: string; url: string }[] = parse(chart.annotations['artifacthub.io/links']);
    const paths = [chart.icon, ...links.map(({ url }) => url)].flatMap((url) => pathOf(url) ?? []);
    assert.equal(paths.length, links.length, 'the icon and all links except the one for support');
    await Promise.all(paths.map((path) => access(join(repository, path))));
  });

  it('has annotations of Artifact Hub with values that it accepts', async () => {
    const { annotations } = chart;
    const { license, homepage } = JSON.parse(await readFile(join(repository, 'package.json'), 'utf8'));
    assert.equal(annotations['artifacthub.io/license'], license);
    assert.equal(chart.home, homepage);
    // https://artifacthub.io/docs/topics/annotations/helm/
    const categories = [
      ...['ai-machine-learning', 'database', 'integration-delivery', 'monitoring-logging', 'networking'],
      ...['security', 'storage', 'streaming-messaging', 'skip-prediction'],
    ];
    assert.ok(categories.includes(annotations['artifacthub.io/category']));
    assert.ok(Object.values(annotations).every((value) => typeof value === 'string'));
  });
});

describeWithHelm('the package of the chart', (helm) => {
  it('contains what Helm needs, and nothing that only the repository needs', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'chart-'));
    t.after(() => rm(folder, { recursive: true }));
    const { code, stderr } = await helm().run(['package', chartFolder, '--destination', folder]);
    assert.equal(code, 0, stderr);
    const { version } = parse(await readFile(join(chartFolder, 'Chart.yaml'), 'utf8'));
    const { stdout } = await runProgram('tar', ['-tzf', join(folder, `ecr-pull-secrets-${version}.tgz`)], {});
    const files = stdout
      .trim()
      .split('\n')
      .map((path) => path.replace('ecr-pull-secrets/', ''))
      .filter((path) => !path.startsWith('templates/'));
    assert.deepEqual(files.sort(), [
      '.helmignore',
      'Chart.yaml',
      'README.md',
      'dashboards/ecr-pull-secrets.json',
      'files/known-names.yaml',
      'values.schema.json',
      'values.yaml',
    ]);
  });
});
