// Tests how the files of the chart are changed for a release.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { releaseMetadata, releaseReadme, releaseValues } from '../../release/released-chart.ts';
import { chartFolder } from '../chart/helm.ts';

const references = {
  version: '1.2.0',
  image: 'registry.example/team/ecr-pull-secrets',
  imageDigest: `sha256:${'a'.repeat(64)}`,
  charts: 'registry.example/charts',
  files: 'https://example.com/blob/v1.2.0',
};
const values = readFileSync(join(chartFolder, 'values.yaml'), 'utf8');
const readme = readFileSync(join(chartFolder, 'README.md'), 'utf8');

describe('the files of a released chart', () => {
  it('have only these values changed: repository and digest of the image', () => {
    const released = releaseValues(values, references);
    const expected = parse(values);
    expected.image.repository = references.image;
    expected.image.digest = references.imageDigest;
    assert.deepEqual(parse(released), expected);
    assert.doesNotMatch(released, /no public image/);
    assert.equal(released.split('\n').length, values.split('\n').length - 1);
  });

  it('have a README with the released chart, image and links, and the other rows unchanged', () => {
    const released = releaseReadme(readme, references);
    const changed = released.split('\n').filter((line) => !readme.includes(line));
    const rows = changed.filter((line) => line.startsWith('|'));
    assert.equal(rows.length, 2);
    assert.ok(rows[0]?.includes(`\`"${references.image}"\``) && !rows[0].includes('public'));
    assert.ok(rows[1]?.includes(`\`"${references.imageDigest}"\``));
    assert.ok(
      changed.includes(
        'helm install ecr-pull-secrets oci://registry.example/charts/ecr-pull-secrets --version 1.2.0 -n ecr-pull-secrets --create-namespace',
      ),
    );
    assert.ok(released.includes(`](${references.files}/docs/how-to/aws-credentials.md)`));
    assert.doesNotMatch(released, /\]\(\.\.?\//);
  });

  it('name the image for Artifact Hub, and link to the files of the tag', () => {
    const chart = readFileSync(join(chartFolder, 'Chart.yaml'), 'utf8');
    const released = releaseMetadata(chart, references);
    const { annotations, icon, ...others } = parse(released);
    const { annotations: _, icon: __, ...expected } = parse(chart);
    assert.deepEqual(others, expected);
    assert.deepEqual(parse(annotations['artifacthub.io/images']), [
      { name: 'ecr-pull-secrets', image: `${references.image}@${references.imageDigest}` },
    ]);
    assert.match(icon, /\/v1\.2\.0\/charts\//);
    assert.match(annotations['artifacthub.io/links'], /\/blob\/v1\.2\.0\/docs\//);
    assert.doesNotMatch(released, /\/main\//);
    assert.throws(() => releaseMetadata(released, references), /does not link to the main branch/);
  });

  it('are refused if the sources do not contain what has to be replaced', () => {
    const released = releaseReadme(readme, references);
    assert.throws(() => releaseReadme(released, references), /does not apply to the chart's README/);
    assert.throws(() => releaseValues(releaseValues(values, references), references), /no public image/);
  });
});
