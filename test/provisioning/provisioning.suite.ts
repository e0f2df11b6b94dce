import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { eventually } from '../support/eventually.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import type { Ground } from '../support/test-api-server.ts';
import {
  accountWith,
  allAccountsRule,
  newAccount,
  newNamespace,
  provisioningRules,
  type Running,
  readAccount,
  runProvisioning,
  secretRule,
  startEcr,
} from './provisioning-fixture.ts';

const ours = 'ecr-pull-secrets';
const hosts = [
  '123456789012.dkr.ecr.eu-central-1.amazonaws.com',
  '210987654321.dkr.ecr.us-east-1.amazonaws.com',
];

/** The mode, with just the rights that it needs, on any API server. */
export function modeSuite(ground: () => Ground): void {
  describe('Secrets and references ahead of any pod', () => {
    let ecr: EcrDouble;
    let least: string;
    let running: Running | undefined;
    let team: string;
    before(async () => {
      ecr = await startEcr();
      least = await accountWith(ground(), [secretRule, ...provisioningRules]);
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
    ): Promise<Running> => {
      await running?.stop();
      const namespaces = { selector: `team=${team}` };
      const whole = { provisioning: { registries: hosts, namespaces, ...provisioning }, ...config };
      running = await runProvisioning({ ground: ground(), ecr, config: whole, kubeconfigPath });
      return running;
    };
    const namespace = () => newNamespace(ground(), { team });
    const account = (name: string, of = 'default') => readAccount(ground(), name, of);
    const hasSecret = (name: string) =>
      eventually(`the Secret of ${name}`, async () => {
        const secret = await readPullSecret(ground(), name);
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
      assert.ok(hosts.every((host) => ecr.isLiving(atob(secret.auths[host]?.auth ?? '').slice(4))));
      await newAccount(ground(), name);
      await refersTo(name, [ours]);
      assert.equal((await account(name)).annotation, ours);
    });

    test('sees to what was there before, and to nothing outside of the selection', async () => {
      const name = await namespace();
      await newAccount(ground(), name);
      await newAccount(ground(), name, 'builder');
      const outside = await ground().createNamespace('outside');
      await start();
      await hasSecret(name);
      await refersTo(name, [ours]);
      assert.equal((await account(name, 'builder')).pullSecrets, undefined);
      assert.equal((await account(outside)).pullSecrets, undefined);
      assert.equal(await readPullSecret(ground(), outside), undefined);
    });

    test('leaves other pull secrets where they are, in order, and a reference that a person wrote to that person', async () => {
      const name = await namespace();
      await newAccount(ground(), name, 'default', { imagePullSecrets: [{ name: 'one' }, { name: 'two' }] });
      await newAccount(ground(), name, 'builder', { imagePullSecrets: [{ name: ours }, { name: 'one' }] });
      await start({ serviceAccounts: ['default', 'builder'] });
      await refersTo(name, ['one', 'two', ours]);
      assert.deepEqual(await account(name, 'builder'), {
        ...(await account(name, 'builder')),
        pullSecrets: [ours, 'one'],
        annotation: undefined,
      });
      const all = await accountWith(ground(), [secretRule, allAccountsRule]);
      await start({ registries: [] }, {}, all);
      await refersTo(name, ['one', 'two']);
      assert.equal((await account(name)).annotation, undefined);
      assert.deepEqual((await account(name, 'builder')).pullSecrets, [ours, 'one']);
      assert.ok(await readPullSecret(ground(), name), 'the Secret stays: pods may use it');
    });

    test('puts back what somebody takes away', async () => {
      await start();
      const name = await namespace();
      await newAccount(ground(), name);
      const { uid } = await hasSecret(name);
      await refersTo(name, [ours]);
      await ground().request('DELETE', secretPath(name));
      assert.notEqual((await hasSecret(name)).uid, uid);
      const path = `/api/v1/namespaces/${name}/serviceaccounts/default`;
      const { body } = await ground().request('GET', path);
      await ground().request('PUT', path, { ...Object(body), imagePullSecrets: [{ name: 'mine' }] });
      await refersTo(name, ['mine', ours]);
    });

    test('takes its reference away where the namespace is no longer selected, and keeps the Secret', async () => {
      await start();
      const name = await namespace();
      await newAccount(ground(), name);
      await refersTo(name, [ours]);
      await hasSecret(name);
      const { body } = await ground().request('GET', `/api/v1/namespaces/${name}`);
      const { metadata } = Object(body);
      const labels = { team: 'another' };
      await ground().request('PUT', `/api/v1/namespaces/${name}`, {
        ...Object(body),
        metadata: { ...metadata, labels },
      });
      await refersTo(name, undefined);
      assert.ok(await readPullSecret(ground(), name));
    });

    test('takes away references of former settings, if it may list ServiceAccounts, and says at debug if not', async () => {
      const name = await namespace();
      await newAccount(ground(), name, 'builder');
      await start({ serviceAccounts: ['builder'] });
      await refersTo(name, [ours], 'builder');
      const { log } = await start({ serviceAccounts: ['default'] });
      await eventually('a word on the missing right', () =>
        log.find(({ level, msg }) => level === 'debug' && /no right to list/.test(String(msg))),
      );
      assert.deepEqual((await account(name, 'builder')).pullSecrets, [ours]);
      const all = await accountWith(ground(), [secretRule, ...provisioningRules, allAccountsRule]);
      await start({ serviceAccounts: ['default'] }, {}, all);
      await refersTo(name, undefined, 'builder');
    });

    test('replaces the reference when the Secret has another name', async () => {
      const name = await namespace();
      await newAccount(ground(), name, 'default', { imagePullSecrets: [{ name: 'one' }] });
      await start();
      await refersTo(name, ['one', ours]);
      await start({}, { secretName: 'renamed' }, ground().kubeconfigPath);
      await refersTo(name, ['one', 'renamed']);
      assert.equal((await account(name)).annotation, 'renamed');
    });

    test('leaves excluded namespaces and those that are being deleted alone', async () => {
      const [excluded, ended, normal] = [await namespace(), await namespace(), await namespace()];
      for (const name of [excluded, ended, normal]) await newAccount(ground(), name);
      await ground().request('DELETE', `/api/v1/namespaces/${ended}`);
      const { log } = await start({}, { exclude: { namespaces: [excluded] } });
      await hasSecret(normal);
      await refersTo(normal, [ours]);
      for (const name of [excluded, ended]) {
        assert.equal(await readPullSecret(ground(), name), undefined);
        assert.equal((await account(name)).pullSecrets, undefined);
        assert.deepEqual(
          log.filter((line) => line['namespace'] === name),
          [],
        );
      }
    });

    test('goes on elsewhere while a foreign Secret is in the way, tells it, and comes back when it is gone', async () => {
      const [taken, free] = [await namespace(), await namespace()];
      await ground().request('POST', secretPath(taken).replace(/\/[^/]+$/, ''), { metadata: { name: ours } });
      const { log } = await start();
      await hasSecret(free);
      const told = () => log.filter(({ level, namespace }) => level === 'warn' && namespace === taken);
      await eventually('the foreign Secret is told', () => told().length > 1);
      assert.match(JSON.stringify(told()), /foreign-secret/);
      await ground().request('DELETE', secretPath(taken));
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
      await newAccount(ground(), name);
      await refersTo(name, [ours]);
      await eventually('the hosts are named', async () => {
        const secret = await readPullSecret(ground(), name);
        return secret !== undefined && hosts.every((host) => secret.hosts[host] === null);
      });
    });
  });
}
