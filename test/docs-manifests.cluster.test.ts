// Applies the manifests of the documentation to a real API server, and provisions the Secret that they use.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { parseAllDocuments } from 'yaml';
import { getField, getItems } from '../src/util/json.ts';
import { buildDefinition, installDefinition } from './chart/custom-resources.ts';
import { getValueAt, type KubeObject } from './chart/rendered-objects.ts';
import type { Cluster } from './cluster/cluster.ts';
import { describeOnCluster } from './cluster/cluster-suite.ts';
import type { EcrDouble } from './doubles/ecr/ecr-double.ts';
import {
  createServiceAccount,
  expectCreated,
  type RunningProvisioning,
  readServiceAccount,
  runProvisioning,
  startEcr,
} from './provisioning/provisioning-fixture.ts';
import { eventually } from './support/eventually.ts';
import { type PageManifest, readPageManifests, readPageValues } from './support/page-manifests.ts';
import { createPod, type Pod } from './support/pods.ts';
import { readPullSecret, secretPath } from './support/pull-secret.ts';

const pullSecretName = 'ecr-pull-secrets';
const pages = ['use-the-secret-from-other-tools', 'build-images-in-the-cluster'].map((name) => {
  const page = `docs/how-to/${name}.md`;
  return { page, manifests: readPageManifests(page), config: readPageValues(page)['config'] };
});

/** Kinds of tools. Their schemas are those of the published packages (see docs-manifests.test.ts), except those of Tekton. */
const customKinds = [
  { group: 'source.toolkit.fluxcd.io', kind: 'OCIRepository' },
  { group: 'source.toolkit.fluxcd.io', kind: 'HelmRepository' },
  { group: 'image.toolkit.fluxcd.io', kind: 'ImageRepository' },
  { group: 'argoproj.io', kind: 'Workflow', version: 'v1alpha1' },
  { group: 'serving.knative.dev', kind: 'Service' },
];

function readTektonDefinitions(): object[] {
  const yaml = readFileSync(join(import.meta.dirname, 'support/tekton-crds.yaml'), 'utf8');
  return parseAllDocuments(yaml).map((document) => document.toJS());
}

/** Applies an object server-side as a dry run, with unknown fields as errors. */
async function dryRun({ request }: Cluster, object: KubeObject) {
  const { apiVersion, kind, metadata } = object;
  const base = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`;
  const plural = await eventually(`the API server serves ${kind}`, async () => {
    const { body } = await request('GET', base);
    const names = getItems(getField(body, 'resources'))
      .filter((resource) => getField(resource, 'kind') === kind)
      .map((resource) => String(getField(resource, 'name')));
    return names.find((name) => !name.includes('/'));
  });
  const path = `${base}/namespaces/${metadata.namespace}/${plural}/${metadata.name}`;
  const query = 'dryRun=All&fieldManager=test&fieldValidation=Strict';
  return await request('PATCH', `${path}?${query}`, object, { contentType: 'application/apply-patch+yaml' });
}

/** The template of a Job's pods as a pod. */
function podOf(job: KubeObject): Pod {
  const template = getValueAt(job, 'spec.template');
  return { apiVersion: 'v1', kind: 'Pod', ...template, metadata: { name: job.metadata.name } };
}

/** All values in an object that are below one of these keys. */
function findValues(value: unknown, keys: readonly string[]): unknown[] {
  if (typeof value !== 'object' || value === null) {
    return [];
  }
  return Object.entries(value).flatMap(([key, child]) => [
    ...(keys.includes(key) ? [child] : []),
    ...findValues(child, keys),
  ]);
}

const registriesIn = (manifests: readonly PageManifest[]): string[] => [
  ...new Set(JSON.stringify(manifests).match(/\d{12}\.dkr\.ecr\.[\w-]+\.amazonaws\.com/g)),
];

describeOnCluster(
  'manifests of the documentation',
  (cluster) => {
    let ecr: EcrDouble;
    before(async () => {
      ecr = await startEcr();
      for (const definition of [...customKinds.map(buildDefinition), ...readTektonDefinitions()]) {
        await installDefinition(cluster().request, definition);
      }
    });
    after(() => ecr.stop());

    it('reject unknown fields of Tekton, as those of Kubernetes', async () => {
      const metadata = { name: 'x', namespace: 'default' };
      for (const object of [
        { apiVersion: 'tekton.dev/v1', kind: 'Task', metadata, spec: { steps: [{ name: 'x', img: 'x' }] } },
        { apiVersion: 'v1', kind: 'ConfigMap', metadata, dat: {} },
      ]) {
        const { status, body } = await dryRun(cluster(), object);
        assert.ok(status >= 400, JSON.stringify(body));
        assert.match(String(getField(body, 'message')), /field not declared in schema|unknown field/);
      }
    });

    for (const { page, manifests, config } of pages) {
      describe(page, () => {
        const namespaces = [...new Set(manifests.map(({ object }) => object.metadata.namespace ?? ''))];
        const accounts: readonly string[] = getValueAt(config, 'provisioning.serviceAccounts');
        let provisioning: RunningProvisioning;
        before(async () => {
          for (const name of namespaces) {
            await expectCreated(cluster(), '/api/v1/namespaces', { metadata: { name } });
            for (const account of accounts) {
              await createServiceAccount(cluster(), name, account);
            }
          }
          provisioning = await runProvisioning({ apiServer: cluster(), ecr, config: Object(config) });
        });
        after(() => provisioning.stop());

        it('provisions the Secret with every registry that the manifests name', async () => {
          for (const namespace of namespaces) {
            const secret = await eventually('the Secret has a token', async () => {
              const found = await readPullSecret(cluster(), namespace);
              return found !== undefined && Object.keys(found.auths).length > 0 ? found : undefined;
            });
            assert.deepEqual(Object.keys(secret.auths), registriesIn(manifests));
          }
        });

        it('adds the Secret to every ServiceAccount that the manifests name', async () => {
          for (const { place, object } of manifests) {
            for (const account of findValues(object, ['serviceAccountName'])) {
              assert.ok(accounts.includes(String(account)), `${place}: ${account} is not provisioned`);
            }
          }
          for (const account of accounts) {
            await eventually(`the reference of ${account}`, async () =>
              (await readServiceAccount(cluster(), namespaces[0] ?? '', account)).pullSecrets?.includes(
                pullSecretName,
              ),
            );
          }
        });

        for (const { place, object } of manifests) {
          it(`${place}: the API server accepts ${object.kind} ${object.metadata.name}`, async () => {
            const { status, body, warnings } = await dryRun(cluster(), object);
            assert.ok(status === 200 || status === 201, `${status} ${JSON.stringify(body)}`);
            assert.deepEqual(warnings, []);
          });

          it(`${place}: uses no other Secret and no other key`, async () => {
            const named = findValues(object, ['secretRef', 'secret']).map(
              (value) => getField(value, 'name') ?? getField(value, 'secretName'),
            );
            assert.deepEqual(
              named.filter((name) => name !== pullSecretName),
              [],
            );
            const keys = findValues(object, ['secret'])
              .flatMap((secret) => getItems(getField(secret, 'items')))
              .map((item) => String(getField(item, 'key')));
            const { body } = await cluster().request('GET', secretPath(object.metadata.namespace ?? ''));
            for (const key of keys) {
              assert.ok(getField(getField(body, 'data'), key), `the Secret has no ${key}`);
            }
          });
        }

        for (const { place, object } of manifests.filter((manifest) => manifest.object.kind === 'Job')) {
          it(`${place}: the pod refers to the Secret`, async () => {
            const pod = await createPod(cluster(), object.metadata.namespace ?? '', podOf(object));
            assert.deepEqual([pod.status, pod.pullSecrets], [201, [pullSecretName]]);
          });
        }
      });
    }
  },
  { ownApiServer: true, serviceAccountAdmission: true },
);
