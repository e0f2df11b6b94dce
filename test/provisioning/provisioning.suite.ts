// Tests provisioning with minimal permissions, on any API server.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret, secretPath, secretsPath } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import {
  allAccountsRule,
  createAccountWithRules,
  createLabelledNamespace,
  createServiceAccount,
  provisioningRules,
  type RunningProvisioning,
  readServiceAccount,
  runProvisioning,
  secretsRule,
  startEcr,
} from './provisioning-fixture.ts';

const pullSecretName = 'ecr-pull-secrets';
const hosts = [
  '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
  '210987654321.dkr.ecr.us-east-1.amazonaws.com',
];

describeOnEachApiServer('provisioning', provisioningSuite);

/** Runs provisioning with the minimal permissions that it needs. */
function provisioningSuite(apiServer: () => TestApiServer): void {
  describe('Secrets and references ahead of any pod', () => {
    let ecr: EcrDouble;
    let minimalKubeconfigPath: string;
    let current: RunningProvisioning | undefined;
    let team: string;
    before(async () => {
      ecr = await startEcr();
      minimalKubeconfigPath = await createAccountWithRules(apiServer(), [secretsRule, ...provisioningRules]);
    });
    after(() => ecr.stop());
    afterEach(async () => {
      await current?.stop();
      ecr.heal();
    });

    const start = async (
      provisioning: Record<string, unknown> = {},
      config: Record<string, unknown> = {},
      kubeconfigPath = minimalKubeconfigPath,
    ): Promise<RunningProvisioning> => {
      await current?.stop();
      const namespaces = { selector: `team=${team}` };
      const wholeConfig = { provisioning: { registries: hosts, namespaces, ...provisioning }, ...config };
      current = await runProvisioning({ apiServer: apiServer(), ecr, config: wholeConfig, kubeconfigPath });
      return current;
    };
    const namespace = () => createLabelledNamespace(apiServer(), { team });
    const account = (name: string, of = 'default') => readServiceAccount(apiServer(), name, of);
    const hasSecret = (name: string) =>
      eventually(`the Secret of ${name}`, async () => {
        const secret = await readPullSecret(apiServer(), name);
        return hosts.every((host) => secret?.auths[host] !== undefined) ? secret : undefined;
      });
    const expectReferences = (name: string, expected: readonly string[] | undefined, of = 'default') =>
      eventually(`${name}/${of} references ${expected}`, async () => {
        assert.deepEqual((await account(name, of)).pullSecrets, expected);
        return true;
      });
    const test = (name: string, body: () => Promise<void>) =>
      it(name, async () => {
        team = randomBytes(4).toString('hex');
        await body();
      });

    test('creates the Secret of a namespace, and the reference of its ServiceAccount, as soon as each exists', async () => {
      await start();
      const name = await namespace();
      const secret = await hasSecret(name);
      assert.ok(hosts.every((host) => ecr.isUnexpired(atob(secret.auths[host]?.auth ?? '').slice(4))));
      await createServiceAccount(apiServer(), name);
      await expectReferences(name, [pullSecretName]);
      assert.equal((await account(name)).annotation, pullSecretName);
    });

    test('handles what existed before the start, and nothing outside of the selection', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      await createServiceAccount(apiServer(), name, 'builder');
      const outside = await apiServer().createNamespace('outside');
      await start();
      await hasSecret(name);
      await expectReferences(name, [pullSecretName]);
      assert.equal((await account(name, 'builder')).pullSecrets, undefined);
      assert.equal((await account(outside)).pullSecrets, undefined);
      assert.equal(await readPullSecret(apiServer(), outside), undefined);
    });

    test('keeps other pull secrets in their order, and a reference that a user added', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name, 'default', {
        imagePullSecrets: [{ name: 'one' }, { name: 'two' }],
      });
      await createServiceAccount(apiServer(), name, 'builder', {
        imagePullSecrets: [{ name: pullSecretName }, { name: 'one' }],
      });
      await start({ serviceAccounts: ['default', 'builder'] });
      await expectReferences(name, ['one', 'two', pullSecretName]);
      assert.deepEqual(await account(name, 'builder'), {
        ...(await account(name, 'builder')),
        pullSecrets: [pullSecretName, 'one'],
        annotation: undefined,
      });
      const all = await createAccountWithRules(apiServer(), [secretsRule, allAccountsRule]);
      await start({ registries: [] }, {}, all);
      await expectReferences(name, ['one', 'two']);
      assert.equal((await account(name)).annotation, undefined);
      assert.deepEqual((await account(name, 'builder')).pullSecrets, [pullSecretName, 'one']);
      assert.ok(await readPullSecret(apiServer(), name), 'the Secret is kept, because pods may use it');
    });

    test('restores what another writer removes', async () => {
      await start();
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      const { uid } = await hasSecret(name);
      await expectReferences(name, [pullSecretName]);
      await apiServer().request('DELETE', secretPath(name));
      assert.notEqual((await hasSecret(name)).uid, uid);
      const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
      const { body } = await apiServer().request('GET', path);
      await apiServer().request('PUT', path, { ...Object(body), imagePullSecrets: [{ name: 'mine' }] });
      await expectReferences(name, ['mine', pullSecretName]);
    });

    test('removes its reference if the namespace is no longer selected, and keeps the Secret', async () => {
      await start();
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      await expectReferences(name, [pullSecretName]);
      await hasSecret(name);
      const { body } = await apiServer().request('GET', `/api/v1/namespaces/${name}`);
      const { metadata } = Object(body);
      const labels = { team: 'another' };
      await apiServer().request('PUT', `/api/v1/namespaces/${name}`, {
        ...Object(body),
        metadata: { ...metadata, labels },
      });
      await expectReferences(name, undefined);
      assert.ok(await readPullSecret(apiServer(), name));
    });

    test('removes references of earlier settings if it may list ServiceAccounts, and logs at debug if not', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name, 'builder');
      await start({ serviceAccounts: ['builder'] });
      await expectReferences(name, [pullSecretName], 'builder');
      const { log } = await start({ serviceAccounts: ['default'] });
      await eventually('a log line about the missing permission', () =>
        log.find(({ level, msg }) => level === 'debug' && /not allowed to list/.test(String(msg))),
      );
      assert.deepEqual((await account(name, 'builder')).pullSecrets, [pullSecretName]);
      const all = await createAccountWithRules(apiServer(), [
        secretsRule,
        ...provisioningRules,
        allAccountsRule,
      ]);
      await start({ serviceAccounts: ['default'] }, {}, all);
      await expectReferences(name, undefined, 'builder');
    });

    test('replaces the reference if the Secret has another name', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name, 'default', { imagePullSecrets: [{ name: 'one' }] });
      await start();
      await expectReferences(name, ['one', pullSecretName]);
      await start({}, { secretName: 'renamed' }, apiServer().kubeconfigPath);
      await expectReferences(name, ['one', 'renamed']);
      assert.equal((await account(name)).annotation, 'renamed');
    });

    test('skips excluded and terminating namespaces', async () => {
      const [excluded, terminating, normal] = [await namespace(), await namespace(), await namespace()];
      for (const name of [excluded, terminating, normal]) {
        await createServiceAccount(apiServer(), name);
      }
      await apiServer().request('DELETE', `/api/v1/namespaces/${terminating}`);
      const { log } = await start({}, { exclude: { namespaces: [excluded] } });
      await hasSecret(normal);
      await expectReferences(normal, [pullSecretName]);
      for (const name of [excluded, terminating]) {
        assert.equal(await readPullSecret(apiServer(), name), undefined);
        assert.equal((await account(name)).pullSecrets, undefined);
        assert.deepEqual(
          log.filter((line) => line['namespace'] === name),
          [],
        );
      }
    });

    test('continues in other namespaces while an unmanaged Secret exists, logs it, and retries until it is gone', async () => {
      const [taken, free] = [await namespace(), await namespace()];
      await apiServer().request('POST', secretsPath(taken), {
        metadata: { name: pullSecretName },
      });
      const { log } = await start();
      await hasSecret(free);
      const warnings = () => log.filter(({ level, namespace }) => level === 'warn' && namespace === taken);
      await eventually('the unmanaged Secret is logged', () => warnings().length > 1);
      assert.match(JSON.stringify(warnings()), /unmanaged-secret/);
      await apiServer().request('DELETE', secretPath(taken));
      await hasSecret(taken);
    });

    test('fetches one token per region for any number of namespaces', async () => {
      const [one, two] = [await namespace(), await namespace()];
      const before = ecr.callsOf('GetAuthorizationToken').length;
      await start();
      await Promise.all([hasSecret(one), hasSecret(two)]);
      assert.equal(ecr.callsOf('GetAuthorizationToken').length - before, 2, 'one for each region');
    });

    test('adds hosts without a token to the Secret, and references it nevertheless', async () => {
      ecr.fail({ error: 'AccessDeniedException' });
      await start();
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      await expectReferences(name, [pullSecretName]);
      await eventually('the hosts are in the annotation', async () => {
        const secret = await readPullSecret(apiServer(), name);
        return secret !== undefined && hosts.every((host) => secret.hosts[host] === null);
      });
    });
  });
}
