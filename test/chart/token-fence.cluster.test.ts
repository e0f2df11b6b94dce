// Tests which tokens of ServiceAccounts the program may create, on a real API server.
import assert from 'node:assert/strict';
import { after, before, it } from 'node:test';
import { createRequest, type Request } from '../cluster/kube-request.ts';
import { createServiceAccount } from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import { getLocalProgramValues } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';

describeChartOnCluster('the fence around tokens of ServiceAccounts', (cluster, helm) => {
  let release: Release;
  let asProgram: Request;
  before(async () => {
    release = await createRelease(cluster(), helm());
    const registries = [{ webIdentity: { serviceAccount: 'ecr-pull' } }];
    await release.install(
      getLocalProgramValues({ namespaces: { exclude: ['lab'] }, config: { registries } }),
    );
    asProgram = createRequest(await release.kubeconfig());
    await eventually('the fence is in effect', async () => {
      const { status, body } = await createToken(await cluster().createNamespace(), ['other']);
      return status === 403 && JSON.stringify(body).includes('ecr-pull-secrets-fence-tokens');
    });
  });
  after(() => release?.uninstall());

  /** Creates a ServiceAccount, and a token of it as the program. */
  async function createToken(
    namespace: string,
    audiences: readonly string[],
    name = 'ecr-pull',
    expirationSeconds: number | undefined = 600,
  ) {
    await createServiceAccount(cluster(), namespace, name);
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    return await asProgram('POST', path, { spec: { audiences, expirationSeconds } });
  }

  it('lets the program create tokens for AWS STS', async () => {
    const { status } = await createToken(await cluster().createNamespace(), ['sts.amazonaws.com']);
    assert.equal(status, 201);
  });

  const refused: [string, readonly string[]][] = [
    ['no audience, which means that of the API server', []],
    ['the audience of the API server', ['https://kubernetes.default.svc']],
    ['a further audience', ['sts.amazonaws.com', 'https://kubernetes.default.svc']],
  ];
  for (const [name, audiences] of refused) {
    it(`refuses tokens for ${name}`, async () => {
      const { status, body } = await createToken(await cluster().createNamespace(), audiences);
      assert.equal(status, 403, `status ${status}`);
      assert.match(
        getValueAt(body, 'message'),
        /may only create tokens for the audiences in config.registries/,
      );
    });
  }

  it('refuses tokens that live longer than the program needs them', async () => {
    for (const seconds of [601, 31_536_000]) {
      const namespace = await cluster().createNamespace();
      const { status, body } = await createToken(namespace, ['sts.amazonaws.com'], 'ecr-pull', seconds);
      assert.equal(status, 403, `status ${status}`);
      assert.match(getValueAt(body, 'message'), /may only create tokens that live at most 600 seconds/);
    }
  });

  it('refuses tokens in namespaces that are excluded, or that opted out', async () => {
    const create = (name: string, labels: Record<string, string>) =>
      cluster().request('POST', '/api/v1/namespaces', { metadata: { name, labels } });
    await create('lab', {});
    await create('opted-out', { 'ecr-pull-secrets.io/inject': 'false' });
    for (const namespace of ['lab', 'opted-out', 'kube-system']) {
      const { status, body } = await createToken(namespace, ['sts.amazonaws.com']);
      assert.equal(status, 403, `status ${status}`);
      assert.match(
        getValueAt(body, 'message'),
        /may not create tokens in namespace .+, which is (excluded|not selected)/,
      );
    }
  });

  it('does not matter for ServiceAccounts of other names, because RBAC refuses them', async () => {
    const { status, body } = await createToken(
      await cluster().createNamespace(),
      ['sts.amazonaws.com'],
      'other',
    );
    assert.equal(status, 403);
    assert.match(getValueAt(body, 'message'), /cannot create resource "serviceaccounts\/token"/);
  });
});
