import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { describe, it } from 'node:test';
import { parseEcrHost } from '../../src/images/registry.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { formatHosts, hostsAnnotation } from '../../src/secrets/annotation.ts';
import { pullSecrets } from '../../src/secrets/ensure.ts';
import { managedBy, managedByLabel } from '../../src/secrets/ours.ts';
import { pullSecretRules } from '../../src/secrets/rules.ts';
import { SecretView } from '../../src/secrets/view.ts';
import { jsonLog } from '../../src/telemetry/log.ts';
import { fakeToken, hour } from './tokens.ts';

const start = Date.UTC(2026, 10, 23, 12);
const namespace = 'team-a';
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const terminating = new KubeError({ code: 'namespace-terminating', operation: 'apply Secret' });

/** A replica that remembers a token that is 4 h old, and sees Secrets of a namespace that takes none any more. */
function setUp() {
  const now = () => start + 4 * hour;
  const view = new SecretView();
  const asked: string[] = [];
  const secrets = pullSecrets({
    store: {
      read: async () => undefined,
      create: () => Promise.reject(terminating),
      update: () => assert.fail('there is nothing to update'),
    },
    view,
    inSync: () => true,
    token: async () => {
      asked.push('any fresh one');
      return fakeToken('remembered', start);
    },
    newToken: async () => {
      asked.push('a new one');
      return fakeToken('new', now());
    },
    failure: () => undefined,
    rules: pullSecretRules({
      freshness: { fraction: 0.5, floorMs: hour },
      maxHosts: 200,
      identityOf: () => undefined,
      now,
    }),
    patienceMs: 50,
    log: jsonLog('silent', new PassThrough()),
    counted: () => undefined,
  });
  const sees = (life: { issuedAt: number; expiresAt: number } | undefined) =>
    view.set({
      namespace,
      uid: 'a',
      resourceVersion: '1',
      labels: { [managedByLabel]: managedBy },
      annotations: { [hostsAnnotation]: formatHosts(new Map([[host, life]])) },
      owners: [],
    });
  const renew = async () => {
    const registry = parseEcrHost(host);
    assert.ok(registry);
    return (await secrets.renew(namespace, [registry])).map(({ code }) => code);
  };
  return { view, sees, renew, asked };
}

/** A new token in one replica's memory has the whole region written anew, so each that nobody needs costs many writes. */
describe('a renewal asks ECR for a new token', () => {
  const life = { issuedAt: start, expiresAt: start + 12 * hour };

  it('not for a Secret that went with its namespace, nor for a host that waits: a fresh one will do', async () => {
    const { view, sees, renew, asked } = setUp();
    sees(life);
    view.remove(namespace, '2');
    assert.deepEqual(await renew(), ['namespace-terminating']);
    sees(undefined);
    await renew();
    assert.deepEqual(asked, ['any fresh one', 'any fresh one']);
  });

  it('where there is an old one to replace', async () => {
    const { sees, renew, asked } = setUp();
    sees(life);
    await renew();
    assert.deepEqual(asked, ['a new one']);
  });
});
