// Tests that a parent chart can enable and disable the chart as a dependency.
import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, it } from 'node:test';
import { parseAllDocuments, stringify } from 'yaml';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder, type Values } from './helm.ts';

describeWithHelm('the chart as a dependency of a parent chart', (helm) => {
  let folder = '';

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'parent-'));
    const name = 'ecr-pull-secrets';
    await mkdir(join(folder, 'charts'));
    await cp(chartFolder, join(folder, 'charts', name), { recursive: true });
    const dependencies = [{ name, version: '*', repository: '', condition: `${name}.enabled` }];
    const chart = { apiVersion: 'v2', name: 'platform', version: '1.0.0', dependencies };
    await writeFile(join(folder, 'Chart.yaml'), stringify(chart));
  });

  after(() => rm(folder, { recursive: true }));

  it('ignores global values of other charts', async () => {
    assert.ok((await objectsWith({ global: { commonLabels: { a: 'b' }, other: true } })) > 5);
  });

  async function objectsWith(values: Values): Promise<number> {
    const { code, stdout, stderr } = await helm().run(['template', 'x', folder], values);
    assert.equal(code, 0, stderr);
    return parseAllDocuments(stdout).length;
  }

  it('renders objects if the condition is true, and none otherwise', async () => {
    const shared = { global: { imageRegistry: 'registry.example.com' } };
    assert.ok((await objectsWith({ ...shared, 'ecr-pull-secrets': { enabled: true } })) > 5);
    assert.ok((await objectsWith(shared)) > 5);
    assert.equal(await objectsWith({ ...shared, 'ecr-pull-secrets': { enabled: false } }), 0);
  });
});
