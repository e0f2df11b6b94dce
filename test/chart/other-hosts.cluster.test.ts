// Tests of `config.hosts` and `config.publicRegistry` with the chart's webhook and policy, on a real API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { createPod, podWith } from '../support/pods.ts';
import type { RunningProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { getMinorVersion, registry } from './install-modes.ts';
import { installWithLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';

const mappedHost = 'registry.example.com:5000';
const publicHosts = ['public.ecr.aws', 'ecr-public.aws.com'];
const config = {
  hosts: {
    [mappedHost]: { account: '123456789012', region: 'eu-west-1' },
    'other.example.com': { account: '210987654321', region: 'eu-west-1' },
  },
  publicRegistry: true,
};
const otherImages = [
  'busybox',
  'registry.example.com/app:1',
  'registry.example.com:50000/app:1',
  'other.example.com:443/app:1',
  'other-example.com/app:1',
  'a.other.example.com/app:1',
  `docker.io/${mappedHost}/app:1`,
  'docker.io/public.ecr.aws/app:1',
  'public.ecr.aws.example/app:1',
  'other.example.com',
];

describeChartOnCluster('other hosts, with the webhook,', (cluster, helm) => {
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram;
  before(async () => {
    ecr = await startEcrDouble();
    release = await createRelease(cluster(), helm());
    program = await installWithLocalProgram(cluster(), release, ecr, {
      injection: 'webhook',
      config: { ...config, exclude: { accounts: ['3*'] } },
    });
  });
  after(async () => {
    await program?.stop();
    await release?.uninstall();
    await ecr.stop();
  });

  it('give a pod the reference, and the Secret a token under the name and port in the image', async () => {
    const namespace = await cluster().createNamespace();
    const { pullSecrets, warnings } = await createPod(
      cluster(),
      namespace,
      podWith([`${mappedHost}/app:1`, `${registry}/app:1`]),
    );
    assert.deepEqual([pullSecrets, warnings], [['ecr-pull-secrets'], []]);
    const secret = await readPullSecret(cluster(), namespace);
    assert.deepEqual(Object.keys(secret?.hosts ?? {}).sort(), [registry, mappedHost].sort());
    const issued = ecr.issued.find(({ region }) => region === 'eu-west-1');
    assert.equal(secret?.auths[mappedHost]?.auth, issued?.auth);
  });

  it('share the token of their region', async () => {
    const namespace = await cluster().createNamespace();
    await createPod(
      cluster(),
      namespace,
      podWith([
        `${mappedHost}/app:1`,
        'other.example.com/app:1',
        '111111111111.dkr.ecr.eu-west-1.amazonaws.com/app:1',
      ]),
    );
    const secret = await readPullSecret(cluster(), namespace);
    assert.equal(new Set(Object.values(secret?.auths ?? {}).map(({ auth }) => auth)).size, 1);
    assert.equal(Object.keys(secret?.auths ?? {}).length, 3);
    assert.equal(ecr.calls.filter(({ region }) => region === 'eu-west-1').length, 1);
  });

  it('include the public registry, with a token of ECR Public', async () => {
    for (const host of publicHosts) {
      const namespace = await cluster().createNamespace();
      const { pullSecrets } = await createPod(cluster(), namespace, podWith([`${host}/nginx/nginx:1`]));
      assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      const secret = await readPullSecret(cluster(), namespace);
      const issued = ecr.issued.filter(({ service }) => service === 'ecr-public');
      assert.ok(issued.some(({ auth }) => auth === secret?.auths[host]?.auth));
    }
  });

  it('are found in init containers and image volumes', async () => {
    for (const host of [mappedHost, 'public.ecr.aws']) {
      const image = `${host}/app:1`;
      for (const more of [
        { initContainers: [{ name: 'init', image }] },
        // before Kubernetes 1.35, the API server drops image volumes
        ...(getMinorVersion(cluster().version) < 35
          ? []
          : [{ volumes: [{ name: 'model', image: { reference: image } }] }]),
      ]) {
        const pod = podWith(['busybox'], more);
        const { pullSecrets } = await createPod(cluster(), await cluster().createNamespace(), pod);
        assert.deepEqual(pullSecrets, ['ecr-pull-secrets']);
      }
    }
  });

  it('are no others', async () => {
    const countRequests = async () =>
      [
        ...(await program.metrics()).matchAll(/^ecr_pull_secrets_admission_requests_total\{.*\} (\d+)$/gm),
      ].reduce((sum, [, count]) => sum + Number(count), 0);
    const before = await countRequests();
    for (const image of otherImages) {
      const { status, pullSecrets } = await createPod(
        cluster(),
        await cluster().createNamespace(),
        podWith([image]),
      );
      assert.deepEqual([status, pullSecrets], [201, []], image);
    }
    assert.equal(await countRequests(), before, 'the API server does not call the webhook');
  });
});

describeChartOnCluster('other hosts, with the policy,', (cluster, helm) => {
  let release: Release;
  const test = (name: string, body: () => Promise<void>) =>
    it(name, async (t) => {
      if (getMinorVersion(cluster().version) >= 36) {
        await body();
      } else {
        t.skip('MutatingAdmissionPolicy requires Kubernetes 1.36');
      }
    });
  const references = async (image: string) => {
    const namespace = await cluster().createNamespace();
    const { status, body, pullSecrets } = await createPod(cluster(), namespace, podWith([image]));
    assert.equal(status, 201, JSON.stringify(body));
    return pullSecrets;
  };
  before(async () => {
    if (getMinorVersion(cluster().version) < 36) {
      return;
    }
    release = await createRelease(cluster(), helm());
    const many = Array.from({ length: 20 }, (_, index) => [
      `${'registry-'.padEnd(100, 'a')}${index}.example.com`,
      { account: '123456789012', region: 'eu-west-1' },
    ]);
    await release.install({
      injection: 'policy',
      webhook: { failurePolicy: 'Fail' }, // so that an error in the expression fails the test
      config: {
        ...config,
        hosts: { ...config.hosts, ...Object.fromEntries(many) },
        provisioning: { registries: [mappedHost, 'public.ecr.aws'] },
        exclude: { accounts: ['3*'] },
      },
      certificates: { mode: 'existingSecret', secretName: 'own' },
    });
    await eventually(
      'the API server applies the policy',
      async () => (await references(`${mappedHost}/app:1`)).length > 0,
      60_000,
    );
  });
  after(() => release?.uninstall());

  test('give a pod the reference', async () => {
    for (const host of [mappedHost, 'other.example.com', ...publicHosts, 'public.ecr.aws:443', registry]) {
      assert.deepEqual(await references(`${host}/app:1`), ['ecr-pull-secrets'], host);
    }
  });

  test('are no others, and none of excluded accounts', async () => {
    for (const image of [...otherImages, `${registry.replace(/^\d{12}/, '333333333333')}/app:1`]) {
      assert.deepEqual(await references(image), [], image);
    }
  });

  test('are found in a large pod within the cost limit of the API server', async () => {
    const many = Array.from({ length: 500 }, () => `${'registry.example/'.padEnd(200, 'a')}:1`);
    const namespace = await cluster().createNamespace();
    const pods = [podWith([...many, `${mappedHost}/app:1`]), podWith(many)];
    const created = await Promise.all(pods.map((pod) => createPod(cluster(), namespace, pod)));
    assert.deepEqual(
      created.map(({ status, pullSecrets }) => [status, pullSecrets]),
      [
        [201, ['ecr-pull-secrets']],
        [201, []],
      ],
    );
  });
});
