// A web identity with tokens of a real API server, which the double of STS verifies with the published keys of that server.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { IdentityFacts } from '../../src/ecr/identity-facts.ts';
import { getField } from '../../src/util/json.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import type { RoleTrust } from '../doubles/ecr/sts-sessions.ts';
import { readOidcProviders } from '../support/oidc-issuer.ts';
import { getTokenError, registry, startAwsTokensFixture } from './token-fixtures.ts';

const audience = 'sts.amazonaws.com';
const roleArn = 'arn:aws:iam::123456789012:role/ecr-pull';

describeOnCluster('a web identity of a real API server', (cluster) => {
  async function requestToken(namespace: string, name: string, wanted: string): Promise<string> {
    const { status, body } = await cluster().request(
      'POST',
      `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`,
      { apiVersion: 'authentication.k8s.io/v1', kind: 'TokenRequest', spec: { audiences: [wanted] } },
    );
    if (status !== 201) {
      throw Object.assign(new Error('no token'), { code: status === 404 ? 'not-found' : 'unknown' });
    }
    return String(getField(getField(body, 'status'), 'token'));
  }

  async function createAccount(name: string): Promise<string> {
    const namespace = await cluster().createNamespace('web-identity');
    const { status } = await cluster().request('POST', `/api/v1/namespaces/${namespace}/serviceaccounts`, {
      apiVersion: 'v1',
      kind: 'ServiceAccount',
      metadata: { name },
    });
    assert.equal(status, 201);
    return namespace;
  }

  it('gets a session of the role only for the ServiceAccount and the audience that its trust policy names', async () => {
    const oidcProviders = await readOidcProviders(cluster(), audience);
    const [issuer = ''] = Object.keys(oidcProviders);
    const [own, foreign] = [await createAccount('ecr-pull'), await createAccount('ecr-pull')];
    const subject = `system:serviceaccount:${own}:ecr-pull`;
    const roles: Record<string, RoleTrust> = { [roleArn]: { webIdentity: { issuer, subject, audience } } };
    const facts: IdentityFacts = {
      namespaceLabels: () => undefined,
      serviceAccount: () => ({
        state: 'exists',
        role: { annotation: 'eks.amazonaws.com/role-arn', roleArn },
      }),
    };
    const rules = [
      { namespaces: { names: [own, foreign] }, webIdentity: { serviceAccount: 'ecr-pull', audience } },
      { webIdentity: { serviceAccount: 'missing', audience } },
    ];
    await using aws = await startAwsTokensFixture(
      { rules, facts, requestToken, timeouts: { connectMs: 20_000, requestMs: 60_000 } },
      { roles, oidcProviders },
    );
    const token = await aws.tokens.get(own, registry());
    assert.equal(aws.double.findIssued(token.auth())?.origin?.subject, subject);
    const refused = await getTokenError(aws.tokens.get(foreign, registry()));
    assert.equal(refused.code, 'web-identity-denied');
    assert.match(
      refused.message,
      new RegExp(`sub system:serviceaccount:${foreign}:ecr-pull and aud ${audience}`),
    );
    const missing = await getTokenError(aws.tokens.get('default', registry()));
    assert.deepEqual([missing.code, missing.permanent], ['service-account-token', true]);
  });
});
