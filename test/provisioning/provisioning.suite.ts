import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
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

describeOnEachApiServer('provisioning', modeSuite);

/** The mode, with just the rights that it needs, on any API server. */
function modeSuite(apiServer: () => TestApiServer): void {
  describe('Secrets and references ahead of any pod', () => {
    let ecr: EcrDouble;
    let least: string;
    let running: RunningProvisioning | undefined;
    let team: string;
    before(async () => {
      ecr = await startEcr();
      least = await createAccountWithRules(apiServer(), [secretsRule, ...provisioningRules]);
    });
    after(() => ecr.stop());
    afterEach(async () => {
      await running?.stop();
      ecr.heal();
    });

    const start = async (
      provisioning: Record<string, unknown> = {},
      config: Record<string, unknown> = {},
      kubeconfigPath = least,
    ): Promise<RunningProvisioning> => {
      await running?.stop();
      const namespaces = { selector: `team=${team}` };
      const whole = { provisioning: { registries: hosts, namespaces, ...provisioning }, ...config };
      running = await runProvisioning({ apiServer: apiServer(), ecr, config: whole, kubeconfigPath });
      return running;
    };
    const namespace = () => createLabelledNamespace(apiServer(), { team });
    const account = (name: string, of = 'default') => readServiceAccount(apiServer(), name, of);
    const hasSecret = (name: string) =>
      eventually(`the Secret of ${name}`, async () => {
        const secret = await readPullSecret(apiServer(), name);
        return hosts.every((host) => secret?.auths[host] !== undefined) ? secret : undefined;
      });
    const refersTo = (name: string, expected: readonly string[] | undefined, of = 'default') =>
      eventually(`${name}/${of} refers to ${expected}`, async () => {
        assert.deepEqual((await account(name, of)).pullSecrets, expected);
        return true;
      });
    const test = (name: string, body: () => Promise<void>) =>
      it(name, async () => {
        team = randomBytes(4).toString('hex');
        await body();
      });

    test('gives a namespace its Secret, and its ServiceAccount the reference, as soon as each is there', async () => {
      await start();
      const name = await namespace();
      const secret = await hasSecret(name);
      assert.ok(hosts.every((host) => ecr.isUnexpired(atob(secret.auths[host]?.auth ?? '').slice(4))));
      await createServiceAccount(apiServer(), name);
      await refersTo(name, [pullSecretName]);
      assert.equal((await account(name)).annotation, pullSecretName);
    });

    test('sees to what was there before, and to nothing outside of the selection', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      await createServiceAccount(apiServer(), name, 'builder');
      const outside = await apiServer().createNamespace('outside');
      await start();
      await hasSecret(name);
      await refersTo(name, [pullSecretName]);
      assert.equal((await account(name, 'builder')).pullSecrets, undefined);
      assert.equal((await account(outside)).pullSecrets, undefined);
      assert.equal(await readPullSecret(apiServer(), outside), undefined);
    });

    test('leaves other pull secrets where they are, in order, and a reference that a person wrote to that person', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name, 'default', {
        imagePullSecrets: [{ name: 'one' }, { name: 'two' }],
      });
      await createServiceAccount(apiServer(), name, 'builder', {
        imagePullSecrets: [{ name: pullSecretName }, { name: 'one' }],
      });
      await start({ serviceAccounts: ['default', 'builder'] });
      await refersTo(name, ['one', 'two', pullSecretName]);
      assert.deepEqual(await account(name, 'builder'), {
        ...(await account(name, 'builder')),
        pullSecrets: [pullSecretName, 'one'],
        annotation: undefined,
      });
      const all = await createAccountWithRules(apiServer(), [secretsRule, allAccountsRule]);
      await start({ registries: [] }, {}, all);
      await refersTo(name, ['one', 'two']);
      assert.equal((await account(name)).annotation, undefined);
      assert.deepEqual((await account(name, 'builder')).pullSecrets, [pullSecretName, 'one']);
      assert.ok(await readPullSecret(apiServer(), name), 'the Secret stays: pods may use it');
    });

    test('puts back what somebody takes away', async () => {
      await start();
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      const { uid } = await hasSecret(name);
      await refersTo(name, [pullSecretName]);
      await apiServer().request('DELETE', secretPath(name));
      assert.notEqual((await hasSecret(name)).uid, uid);
      const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
      const { body } = await apiServer().request('GET', path);
      await apiServer().request('PUT', path, { ...Object(body), imagePullSecrets: [{ name: 'mine' }] });
      await refersTo(name, ['mine', pullSecretName]);
    });

    test('takes its reference away where the namespace is no longer selected, and keeps the Secret', async () => {
      await start();
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      await refersTo(name, [pullSecretName]);
      await hasSecret(name);
      const { body } = await apiServer().request('GET', `/api/v1/namespaces/${name}`);
      const { metadata } = Object(body);
      const labels = { team: 'another' };
      await apiServer().request('PUT', `/api/v1/namespaces/${name}`, {
        ...Object(body),
        metadata: { ...metadata, labels },
      });
      await refersTo(name, undefined);
      assert.ok(await readPullSecret(apiServer(), name));
    });

    test('takes away references of former settings, if it may list ServiceAccounts, and says at debug if not', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name, 'builder');
      await start({ serviceAccounts: ['builder'] });
      await refersTo(name, [pullSecretName], 'builder');
      const { log } = await start({ serviceAccounts: ['default'] });
      await eventually('a word on the missing right', () =>
        log.find(({ level, msg }) => level === 'debug' && /no right to list/.test(String(msg))),
      );
      assert.deepEqual((await account(name, 'builder')).pullSecrets, [pullSecretName]);
      const all = await createAccountWithRules(apiServer(), [
        secretsRule,
        ...provisioningRules,
        allAccountsRule,
      ]);
      await start({ serviceAccounts: ['default'] }, {}, all);
      await refersTo(name, undefined, 'builder');
    });

    test('replaces the reference when the Secret has another name', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name, 'default', { imagePullSecrets: [{ name: 'one' }] });
      await start();
      await refersTo(name, ['one', pullSecretName]);
      await start({}, { secretName: 'renamed' }, apiServer().kubeconfigPath);
      await refersTo(name, ['one', 'renamed']);
      assert.equal((await account(name)).annotation, 'renamed');
    });

    test('leaves excluded namespaces and those that are being deleted alone', async () => {
      const [excluded, ended, normal] = [await namespace(), await namespace(), await namespace()];
      for (const name of [excluded, ended, normal]) await createServiceAccount(apiServer(), name);
      await apiServer().request('DELETE', `/api/v1/namespaces/${ended}`);
      const { log } = await start({}, { exclude: { namespaces: [excluded] } });
      await hasSecret(normal);
      await refersTo(normal, [pullSecretName]);
      for (const name of [excluded, ended]) {
        assert.equal(await readPullSecret(apiServer(), name), undefined);
        assert.equal((await account(name)).pullSecrets, undefined);
        assert.deepEqual(
          log.filter((line) => line['namespace'] === name),
          [],
        );
      }
    });

    test('goes on elsewhere while a foreign Secret is in the way, tells it, and comes back when it is gone', async () => {
      const [taken, free] = [await namespace(), await namespace()];
      await apiServer().request('POST', secretPath(taken).replace(/\/[^/]+$/, ''), {
        metadata: { name: pullSecretName },
      });
      const { log } = await start();
      await hasSecret(free);
      const told = () => log.filter(({ level, namespace }) => level === 'warn' && namespace === taken);
      await eventually('the foreign Secret is told', () => told().length > 1);
      assert.match(JSON.stringify(told()), /foreign-secret/);
      await apiServer().request('DELETE', secretPath(taken));
      await hasSecret(taken);
    });

    test('asks ECR once for any number of namespaces', async () => {
      const [one, two] = [await namespace(), await namespace()];
      const before = ecr.callsOf('GetAuthorizationToken').length;
      await start();
      await Promise.all([hasSecret(one), hasSecret(two)]);
      assert.equal(ecr.callsOf('GetAuthorizationToken').length - before, 2, 'one for each region');
    });

    test('names hosts in the Secret for which there is no token yet, and refers to it all the same', async () => {
      ecr.fail({ error: 'AccessDeniedException' });
      await start();
      const name = await namespace();
      await createServiceAccount(apiServer(), name);
      await refersTo(name, [pullSecretName]);
      await eventually('the hosts are named', async () => {
        const secret = await readPullSecret(apiServer(), name);
        return secret !== undefined && hosts.every((host) => secret.hosts[host] === null);
      });
    });
  });
}
