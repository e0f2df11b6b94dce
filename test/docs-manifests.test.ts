// Tests that the manifests in the documentation match the schemas of Kubernetes and of the tools that they are for.
import assert from 'node:assert/strict';
import { globSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { findSchemaProblem, hasSchema } from './support/manifest-schemas.ts';
import { findManifests, readPageManifests } from './support/page-manifests.ts';

const root = join(import.meta.dirname, '..');
const pages = globSync(['README.md', 'docs/**/*.md', 'charts/**/*.md'], { cwd: root });

describe('manifests in the documentation', () => {
  let count = 0;
  for (const page of pages) {
    const manifests = readPageManifests(page);
    count += manifests.length;
    for (const { place, object } of manifests.filter((manifest) => hasSchema(manifest.object))) {
      it(`${place}: ${object.kind} is valid`, async () => {
        assert.equal(await findSchemaProblem(object), undefined);
      });
    }
  }

  it('are found', () => {
    assert.ok(count > 3, `only ${count} manifests`);
  });
});

describe('manifests in a page', () => {
  const block = (indentation: string, ...lines: string[]) =>
    ['```yaml', ...lines, '```', ''].map((line) => `${indentation}${line}`).join('\n');
  const objectLines = ['apiVersion: v1', 'kind: Secret', 'metadata: { name: a }'];

  it('are found with their line, in indented blocks and in each document of a block', () => {
    const markdown = `# Page\n\n${block('   ', ...objectLines, '---', '# the second', ...objectLines)}`;
    assert.deepEqual(
      findManifests('page.md', markdown).map(({ place, object }) => [place, object.metadata.name]),
      [
        ['page.md:4', 'a'],
        ['page.md:9', 'a'],
      ],
    );
  });

  it('do not include values of the chart, a kubeconfig, illustrations and other languages', () => {
    const others = [
      block('', 'replicas: 2'),
      block('', 'apiVersion: v1', 'kind: Config', 'clusters: []'),
      block('', ...objectLines, 'data: …'),
      block('', ...objectLines).replace('```yaml', '```sh'),
    ];
    assert.deepEqual(findManifests('page.md', others.join('')), []);
  });

  it('are refused with their line if they are not valid YAML', () => {
    assert.throws(
      () => findManifests('page.md', block('', 'apiVersion: v1', 'kind: [')),
      /^Error: page\.md:4: /,
    );
  });
});

describe('schemas of manifests', () => {
  const metadata = { name: 'a' };
  const cases = [
    {
      object: { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: [{ name: 'a', imag: 'b' }] } },
      problem: 'Pod/a: unknown fields: spec.containers.0.imag',
    },
    {
      object: { apiVersion: 'v1', kind: 'Pod', metadata, spec: { containers: 'a' } },
      problem: 'Pod/a: data/spec/containers must be array',
    },
    {
      object: {
        apiVersion: 'source.toolkit.fluxcd.io/v1',
        kind: 'OCIRepository',
        metadata: { ...metadata, labels: { 'any-label': 'a' } },
        spec: { url: 'oci://a/b', interval: '1m', secretref: { name: 'a' } },
      },
      problem: 'OCIRepository/a: unknown fields: spec.secretref',
    },
    {
      object: {
        apiVersion: 'helm.toolkit.fluxcd.io/v2',
        kind: 'HelmRelease',
        metadata,
        spec: {
          interval: '1m',
          chartRef: { kind: 'OCIRepository', name: 'a' },
          values: { any: { thing: 1 } },
        },
      },
      problem: undefined,
    },
    {
      object: {
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Application',
        metadata,
        spec: {
          project: 'default',
          destination: { nam: 'a' },
          source: { repoURL: 'a', helm: { valuesObject: { a: {} } } },
        },
      },
      problem: 'Application/a: unknown fields: spec.destination.nam',
    },
    {
      object: {
        apiVersion: 'argoproj.io/v1alpha1',
        kind: 'Workflow',
        metadata,
        spec: {
          entrypoint: 'a',
          templates: [{ name: 'a', container: { name: 'main', image: 'a', imagePullSecrets: [] } }],
        },
      },
      problem: 'Workflow/a: unknown fields: spec.templates.0.container.imagePullSecrets',
    },
    {
      object: {
        apiVersion: 'serving.knative.dev/v1',
        kind: 'Service',
        metadata,
        spec: {
          template: {
            spec: { containers: [{ name: 'a', image: 'a' }], serviceAccount: 'a', imagePullSecret: [] },
          },
        },
      },
      problem: 'Service/a: unknown fields: spec.template.spec.imagePullSecret',
    },
  ];
  for (const { object, problem } of cases) {
    it(`${object.apiVersion} ${object.kind}: ${problem ?? 'valid'}`, async () => {
      assert.equal(await findSchemaProblem(object), problem);
    });
  }

  it('are missing for unknown groups and for the files of Kustomize', () => {
    assert.equal(hasSchema({ apiVersion: 'tekton.dev/v1', kind: 'Task', metadata }), false);
    assert.equal(
      hasSchema({ apiVersion: 'kustomize.config.k8s.io/v1beta1', kind: 'Kustomization', metadata }),
      false,
    );
  });
});
