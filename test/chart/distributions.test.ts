// Tests what the documented values for distributions of Kubernetes promise.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { anchorsOf } from '../support/markdown-anchors.ts';
import { describeWithHelm } from './chart-suite.ts';
import { type CiValues, readCiValues } from './ci-values.ts';
import type { Values } from './helm.ts';
import { getApiVersions, registry } from './install-modes.ts';
import { assignSecurityContext, findSccViolations } from './openshift-scc.ts';
import { findPodSecurityViolations } from './pod-security.ts';
import { findOne, getValueAt, type KubeObject, podSpecs } from './rendered-objects.ts';

const page = readFileSync(join(import.meta.dirname, '../../docs/how-to/distributions.md'), 'utf8');
const kubeVersion = '1.37.0';
const newest = { kubeVersion, apiVersions: getApiVersions(kubeVersion) };
/** As OpenShift assigns it to a new namespace. */
const range = { first: 1_000_680_000, size: 10_000 };
const webhook = 'ecr-pull-secrets';

const distributions = [
  'eks-custom-network',
  'gke-private',
  'k3d',
  'k3s',
  'kind',
  'microk8s',
  'openshift',
  'rke2',
  'talos',
  'windows',
];

function valuesFor(name: string): CiValues {
  const found = readCiValues().find((one) => one.name === name);
  assert.ok(found, `ci/${name}-values.yaml`);
  return found;
}

/** The anchor of the section that links to the values file. */
function sectionOf(name: string): string | undefined {
  const sections = page.split(/^(?=## )/m);
  const section = sections.find((text) =>
    text.includes(`(../../charts/ecr-pull-secrets/ci/${name}-values.yaml)`),
  );
  return section && [...anchorsOf(section)][0];
}

describe('the page on distributions', () => {
  it('has a section for each values file that names the page, and each of them names its section', () => {
    const named = readCiValues().flatMap(({ name, path }) => {
      const anchor = /docs\/how-to\/distributions\.md#([\w-]+)/.exec(readFileSync(path, 'utf8'))?.[1];
      return anchor === undefined ? [] : [[name, anchor]];
    });
    assert.deepEqual(
      named,
      distributions.map((name) => [name, sectionOf(name)]),
    );
  });
});

describeWithHelm('the values for distributions', (helm) => {
  const render = async (values: Values): Promise<KubeObject[]> => await helm().template(values, newest);
  const renderFor = async (name: string): Promise<KubeObject[]> => await render(valuesFor(name).values);

  describe('OpenShift', () => {
    it('has pods that the SCC restricted-v2 admits, and that are restricted with what it sets', async () => {
      const specs = podSpecs(await renderFor('openshift'));
      assert.equal(specs.length, 5);
      for (const spec of specs) {
        assert.deepEqual(findSccViolations(spec, range), []);
        assert.equal(
          getValueAt(spec, 'securityContext.runAsGroup'),
          undefined,
          'OpenShift runs pods with group 0',
        );
        assert.deepEqual(findPodSecurityViolations(assignSecurityContext(Object(spec), range)), []);
      }
    });

    it('needs each of its values', async () => {
      const { values } = valuesFor('openshift');
      const violations = async (podSecurityContext: Values) =>
        new Set(
          podSpecs(await render({ ...values, podSecurityContext })).flatMap((spec) =>
            findSccViolations(spec, range),
          ),
        );
      const withoutIds = { runAsUser: null, runAsGroup: null, fsGroup: null };
      assert.deepEqual(await violations(withoutIds), new Set());
      assert.deepEqual(await violations({}), new Set(['runAsUser', 'fsGroup']));
      assert.deepEqual(await violations({ ...withoutIds, runAsUser: 65_532 }), new Set(['runAsUser']));
      assert.deepEqual(await violations({ ...withoutIds, fsGroup: range.first + 1 }), new Set(['fsGroup']));
      assert.deepEqual(await violations({ ...withoutIds, runAsUser: range.first + 1 }), new Set());
    });

    it('would not admit pods with further rights', () => {
      const container = {
        name: 'x',
        securityContext: {
          privileged: true,
          allowPrivilegeEscalation: true,
          capabilities: { add: ['NET_ADMIN'] },
          runAsUser: 0,
          seccompProfile: { type: 'Unconfined' },
        },
        ports: [{ containerPort: 1, hostPort: 1 }],
      };
      const spec = {
        hostNetwork: true,
        hostPID: true,
        securityContext: { seLinuxOptions: { level: 's0' } },
        volumes: [{ name: 'root', hostPath: { path: '/' } }],
        initContainers: [container],
      };
      assert.deepEqual(findSccViolations(spec, range), [
        'hostNetwork',
        'hostPID',
        'seLinuxOptions',
        'volume of kind hostPath',
        'x: privileged',
        'x: allowPrivilegeEscalation',
        'x: capabilities.add',
        'x: hostPort',
        'x: runAsUser',
        'x: seccompProfile',
      ]);
    });

    it('opens the port of the DNS pods, and not port 53, to all pods', async () => {
      const policies = (await renderFor('openshift')).filter(({ kind }) => kind === 'NetworkPolicy');
      assert.equal(policies.length, 3);
      for (const policy of policies) {
        assert.deepEqual(getValueAt(policy, 'spec.egress.0.ports'), [
          { port: 5353, protocol: 'UDP' },
          { port: 5353, protocol: 'TCP' },
        ]);
      }
    });
  });

  it('MicroK8s: opens the port of its API server to all pods', async () => {
    const policies = (await renderFor('microk8s')).filter(({ kind }) => kind === 'NetworkPolicy');
    assert.equal(policies.length, 2);
    for (const policy of policies) {
      const ports = getValueAt(policy, 'spec.egress').flatMap((rule: unknown) => getValueAt(rule, 'ports'));
      assert.ok(ports.some((one: unknown) => getValueAt(one, 'port') === 16_443));
    }
  });

  it('private GKE clusters: the Service leads to port 10250 of the pods', async () => {
    const objects = await renderFor('gke-private');
    const [port] = getValueAt(findOne(objects, 'Service', webhook), 'spec.ports');
    const ports = getValueAt(
      findOne(objects, 'Deployment', webhook),
      'spec.template.spec.containers.0.ports',
    );
    const target = ports.find((one: unknown) => getValueAt(one, 'name') === port.targetPort);
    assert.deepEqual([port.port, getValueAt(target, 'containerPort')], [443, 10_250]);
  });

  describe('Amazon EKS with another network plugin', () => {
    it('serves the webhook and the metrics on the ports of the node, which Services, probes and monitors find', async () => {
      const objects = await renderFor('eks-custom-network');
      const [container] = getValueAt(
        findOne(objects, 'Deployment', webhook),
        'spec.template.spec.containers',
      );
      const port = (name: string): unknown =>
        getValueAt(
          container.ports.find((one: unknown) => getValueAt(one, 'name') === name),
          'containerPort',
        );
      const target = (service: string): unknown =>
        port(getValueAt(findOne(objects, 'Service', service), 'spec.ports.0.targetPort'));
      assert.deepEqual([target(webhook), target(`${webhook}-status`)], [8443, 18_080]);
      for (const probe of ['livenessProbe', 'readinessProbe']) {
        assert.equal(port(getValueAt(container, `${probe}.httpGet.port`)), 18_080, probe);
      }
      const monitored = getValueAt(findOne(objects, 'ServiceMonitor'), 'spec.endpoints.0.port');
      const status = getValueAt(findOne(objects, 'Service', `${webhook}-status`), 'spec.ports.0.name');
      assert.equal(monitored, status);
    });

    it('lets the webhook listen only on the address of the node to which the Service leads', async () => {
      const { values } = valuesFor('eks-custom-network');
      const listening = async (more: Values) => {
        const deployment = findOne(await render({ ...values, ...more }), 'Deployment', webhook);
        const { args, env } = getValueAt(deployment, 'spec.template.spec.containers.0');
        return [
          args.find((one: string) => one.startsWith('--webhook-address')),
          env?.map((one: unknown) => getValueAt(one, 'valueFrom.fieldRef.fieldPath')),
        ];
      };
      assert.deepEqual(await listening({}), ['--webhook-address=$(WEBHOOK_ADDRESS)', ['status.podIP']]);
      const everywhere = [undefined, undefined];
      assert.deepEqual(await listening({ hostNetwork: false }), everywhere, 'pods have one address each');
      assert.deepEqual(await listening({ service: { ipFamilies: ['IPv6'] } }), everywhere);
    });

    it('refuses ports that cannot be free', async () => {
      const { values } = valuesFor('eks-custom-network');
      const kubelet = /hostNetwork: true cannot use port 10250, because the kubelet/;
      await assert.rejects(render({ ...values, webhook: { port: 10250 } }), kubelet);
      await assert.rejects(render({ ...values, config: { status: { port: 10250 } } }), kubelet);
      const needsRoot = /hostNetwork: true cannot use port 443, .* set webhook\.port to another port/;
      await assert.rejects(render({ ...values, webhook: { port: 443 } }), needsRoot);
      await render({ ...values, hostNetwork: false, webhook: { port: 443 } });
      await assert.rejects(
        render({ webhook: { port: 8080 } }),
        /webhook\.port and config\.status\.port are both 8080/,
      );
    });
  });

  it('Windows nodes: no pod of the chart can be scheduled to one, whatever the node selector is', async () => {
    const cases: Values[] = [
      {},
      { nodeSelector: null },
      { nodeSelector: { 'kubernetes.io/os': null } },
      { nodeSelector: { 'kubernetes.io/os': 'windows' } },
    ];
    const all = {
      cronJob: { enabled: true, besideDeployment: true },
      config: { provisioning: { registries: [registry] } },
    };
    for (const values of [
      ...readCiValues().map((one) => one.values),
      ...cases.map((one) => ({ ...all, ...one })),
    ]) {
      for (const spec of podSpecs(await render(values))) {
        assert.equal(getValueAt(spec, 'nodeSelector')['kubernetes.io/os'], 'linux', JSON.stringify(values));
      }
    }
    const selectors = podSpecs(await renderFor('windows')).map((spec) => getValueAt(spec, 'nodeSelector'));
    assert.deepEqual(selectors, Array(5).fill({ 'kubernetes.io/os': 'linux', pool: 'platform' }));
  });
});
