// Renders every mode for every supported version of Kubernetes and validates the objects.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { customResourceKinds, findSchemaProblem } from '../support/manifest-schemas.ts';
import { describeWithHelm } from './chart-suite.ts';
import { chartFolder } from './helm.ts';
import { getApiVersions, getMinorVersion, installModes } from './install-modes.ts';
import { findPodSecurityViolations } from './pod-security.ts';
import { findOne, type KubeObject, parseSettings, podSpecs } from './rendered-objects.ts';

const kubeVersions = Array.from({ length: 8 }, (_, index) => `1.${30 + index}.0`);

const clusterWide: readonly string[] = [
  'ClusterRole',
  'ClusterRoleBinding',
  'FlowSchema',
  'MutatingAdmissionPolicy',
  'MutatingAdmissionPolicyBinding',
  'MutatingWebhookConfiguration',
  'ValidatingAdmissionPolicy',
  'ValidatingAdmissionPolicyBinding',
];

describeWithHelm('every mode on every version of Kubernetes', (helm) => {
  for (const { name, values, since = 30 } of installModes) {
    it(`${name}: valid objects, restricted pods, and a valid configuration`, async () => {
      for (const kubeVersion of kubeVersions.filter((version) => getMinorVersion(version) >= since)) {
        const options = { namespace: 'pulls', kubeVersion, apiVersions: getApiVersions(kubeVersion) };
        const objects = await helm().template(values, options);
        const known = objects.filter(({ kind }) => !customResourceKinds.includes(kind));
        const problems = await Promise.all(known.map(findSchemaProblem));
        assert.deepEqual(
          problems.filter((problem) => problem !== undefined),
          [],
        );
        for (const { kind, metadata } of objects) {
          const place = `${kind}/${metadata.name}`;
          assert.equal(metadata.namespace, clusterWide.includes(kind) ? undefined : 'pulls', place);
          assert.equal(metadata.labels?.['app.kubernetes.io/instance'], 'ecr-pull-secrets', place);
        }
        assert.deepEqual(podSpecs(objects).flatMap(findPodSecurityViolations), []);
        assert.equal(
          parseSettings(
            findOne(objects, 'ConfigMap', 'ecr-pull-secrets'),
          ).exclude.admissionNamespaces.includes('pulls'),
          true,
        );
      }
    });
  }

  it('has no hooks except the test pods, which --skip-tests omits, because `kubectl apply` would create hooks', async () => {
    const hook = ({ metadata }: KubeObject) => metadata.annotations?.['helm.sh/hook'];
    for (const { name, values, since = 30 } of installModes) {
      const kubeVersion = `1.${Math.max(since, 37)}.0`;
      const options = { kubeVersion, apiVersions: getApiVersions(kubeVersion) };
      const hooks = (await helm().template(values, options)).filter(hook);
      assert.deepEqual(
        hooks.map((object) => [object.kind, hook(object)]),
        hooks.length === 0
          ? []
          : [
              ['Pod', 'test'],
              ['Pod', 'test'],
            ],
        name,
      );
      const rest = await helm().template(values, { ...options, flags: ['--skip-tests'] });
      assert.deepEqual(rest.filter(hook), [], name);
    }
  });

  it('reports the kinds without a published schema', (t) => {
    t.diagnostic(`not validated, because they are custom resources: ${customResourceKinds.join(', ')}`);
  });

  it('has one object in each template', async () => {
    const { stdout } = await helm().run(['template', 'x', chartFolder]);
    const sources = [...stdout.matchAll(/^# Source: (.+)$/gm)].map(([, source]) => source);
    assert.deepEqual(sources, [...new Set(sources)]);
  });

  for (const kubeVersion of ['1.30.0', '1.35.0']) {
    it(`policy on ${kubeVersion} is refused, with the required version`, async () => {
      const policy = installModes.find(({ name }) => name === 'policy');
      await assert.rejects(
        helm().template(policy?.values, { kubeVersion }),
        /injection: policy needs MutatingAdmissionPolicy .*from 1\.36 on and this cluster \(v1\.3.\.0\)/,
      );
    });
  }

  it('passes helm lint --strict', async () => {
    const { code, stdout } = await helm().run(['lint', '--strict', chartFolder]);
    assert.equal(code, 0, stdout);
  });

  it('refuses Kubernetes before 1.30', async () => {
    await assert.rejects(helm().template({}, { kubeVersion: '1.29.9' }), /requires kubeVersion: >=1\.30/);
  });
});
