// Tests which requests the rendered MutatingWebhookConfiguration selects, and how it fails.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { partitions } from '../../src/ecr/partitions.ts';
import { resolveRegistry } from '../support/registries.ts';
import { describeWithHelm } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { findOne, getValueAt } from './rendered-objects.ts';

describeWithHelm('the webhook configuration', (helm) => {
  const render = (values: Values = {}) => helm().template(values);
  const webhook = async (values: Values = {}) =>
    getValueAt(findOne(await render(values), 'MutatingWebhookConfiguration'), 'webhooks.0');

  it('sorts last, fails open, and supports dry runs', async () => {
    const { rules, matchConditions, namespaceSelector, ...how } = await webhook();
    assert.deepEqual(how, {
      name: 'pods.ecr-pull-secrets.io',
      admissionReviewVersions: ['v1'],
      clientConfig: {
        service: { name: 'ecr-pull-secrets', namespace: 'ecr-pull-secrets', path: '/mutate', port: 443 },
      },
      failurePolicy: 'Ignore',
      timeoutSeconds: 5,
      reinvocationPolicy: 'IfNeeded',
      sideEffects: 'NoneOnDryRun',
      matchPolicy: 'Equivalent',
    });
  });

  it('uses the port that the Service maps to the pods', async () => {
    const objects = await render({ service: { port: 8443 } });
    const service = findOne(objects, 'Service', 'ecr-pull-secrets');
    const { clientConfig } = getValueAt(findOne(objects, 'MutatingWebhookConfiguration'), 'webhooks.0');
    assert.equal(clientConfig.service.port, getValueAt(service, 'spec.ports.0.port'));
    const labels = getValueAt(
      findOne(objects, 'Deployment', 'ecr-pull-secrets'),
      'spec.template.metadata.labels',
    );
    for (const { kind, ...object } of objects.filter((one) => one.kind === 'Service')) {
      for (const [label, value] of Object.entries(getValueAt(object, 'spec.selector'))) {
        assert.equal(labels[label], value, `${kind} ${label}`);
      }
    }
  });

  it('excludes its own namespace, kube-system and configured namespaces by name', async () => {
    const { namespaceSelector } = await webhook({
      namespaces: { exclude: ['monitoring'] },
      config: { exclude: { namespaces: ['lab-*', 'legacy'] } },
    });
    assert.deepEqual(namespaceSelector.matchExpressions, [
      {
        key: 'kubernetes.io/metadata.name',
        operator: 'NotIn',
        values: ['kube-system', 'ecr-pull-secrets', 'monitoring', 'legacy'],
      },
      { key: 'ecr-pull-secrets.io/inject', operator: 'NotIn', values: ['false'] },
    ]);
  });

  it('selects only labelled namespaces with optIn', async () => {
    const namespaces = { select: 'optIn', label: 'pulls', selector: { matchLabels: { team: 'shop' } } };
    const { namespaceSelector } = await webhook({ namespaces });
    assert.deepEqual(namespaceSelector.matchExpressions.slice(1), [
      { key: 'pulls', operator: 'In', values: ['true'] },
      { key: 'team', operator: 'In', values: ['shop'] },
    ]);
  });

  it('matches every ECR host that the program matches', async () => {
    const { matchConditions } = await webhook();
    const expression: string = matchConditions.find(
      (condition: unknown) => getValueAt(condition, 'name') === 'ecr-image',
    ).expression;
    const pattern = new RegExp(/matches\('([^']+)'\)/.exec(expression)?.[1] ?? '$^');
    const hosts = partitions.flatMap(({ suffix, dualStackSuffixes, regionPrefixes }) => {
      const region = `${regionPrefixes[0] ?? 'ap-southeast-'}west-12`.replace('southeast-west', 'southeast');
      const account = '123456789012';
      return ['', '-fips'].flatMap((fips) => [
        `${account}.dkr.ecr${fips}.${region}.${suffix}`,
        ...dualStackSuffixes.map((dual) => `${account}.dkr-ecr${fips}.${region}.${dual}`),
      ]);
    });
    for (const host of hosts) {
      assert.ok(resolveRegistry(host), host);
      assert.match(`${host}/shop/cart:1`, pattern);
    }
    for (const image of [
      'busybox',
      'public.ecr.aws/x/y',
      'example.com/123456789012.dkr.ecr.eu-west-1.amazonaws.com/x',
    ]) {
      assert.doesNotMatch(image, pattern);
    }
  });

  it('matches other hosts only if they are configured, by their whole names', async () => {
    const startsIn = async (config: object) => {
      const { matchConditions } = await webhook({ config });
      const { expression } = matchConditions.find(({ name }: { name: string }) => name === 'ecr-image');
      const lists = [
        ...expression.matchAll(/(\[[^\]]+\])\.exists\(start, [cv.a-z]+\.startsWith\(start\)\)/g),
      ];
      return lists.map(([, list = '']) => JSON.parse(list));
    };
    assert.deepEqual(await startsIn({}), []);
    const own = { account: '123456789012', region: 'eu-west-1' };
    const hosts = { 'registry.example.com:5000': own, 'a.example.com': own };
    const ofHosts = ['a.example.com/', 'registry.example.com:5000/'];
    const ofPublic = ['public.ecr.aws/', 'public.ecr.aws:', 'ecr-public.aws.com/', 'ecr-public.aws.com:'];
    assert.deepEqual(await startsIn({ hosts }), [ofHosts, ofHosts]);
    assert.deepEqual(await startsIn({ publicRegistry: true }), [ofPublic, ofPublic]);
    const both = [...ofHosts, ...ofPublic];
    assert.deepEqual(await startsIn({ hosts, publicRegistry: true }), [both, both]);
  });

  const pem = '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n';
  for (const [form, caBundle] of [
    ['PEM', pem],
    ['base64', btoa(pem)],
  ]) {
    it(`accepts the CA of an existing certificate as ${form}`, async () => {
      const values = { certificates: { mode: 'existingSecret', secretName: 'own', caBundle } };
      assert.equal((await webhook(values)).clientConfig.caBundle, btoa(pem));
      const spec = getValueAt(
        findOne(await render(values), 'Deployment', 'ecr-pull-secrets'),
        'spec.template.spec',
      );
      assert.ok(spec.volumes.some((volume: unknown) => getValueAt(volume, 'secret.secretName') === 'own'));
    });
  }

  it("lets cert-manager set the CA, for the Service's name", async () => {
    const objects = await render({ certificates: { mode: 'certManager' } });
    const certificate = findOne(objects, 'Certificate', 'ecr-pull-secrets');
    const configuration = findOne(objects, 'MutatingWebhookConfiguration');
    assert.equal(
      configuration.metadata.annotations?.['cert-manager.io/inject-ca-from'],
      'ecr-pull-secrets/ecr-pull-secrets',
    );
    assert.deepEqual(getValueAt(certificate, 'spec.dnsNames'), ['ecr-pull-secrets.ecr-pull-secrets.svc']);
    const spec = getValueAt(findOne(objects, 'Deployment', 'ecr-pull-secrets'), 'spec.template.spec');
    assert.ok(
      spec.volumes.some(
        (volume: unknown) =>
          getValueAt(volume, 'secret.secretName') === getValueAt(certificate, 'spec.secretName'),
      ),
    );
  });

  it('uses webhook.url for a program outside of the cluster', async () => {
    const { clientConfig } = await webhook({ webhook: { url: 'https://192.0.2.1:8443/mutate' } });
    assert.deepEqual(clientConfig, { url: 'https://192.0.2.1:8443/mutate' });
  });
});
