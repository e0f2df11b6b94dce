// Tests sync and uninstall with minimal permissions, on any API server.
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { after, afterEach, before, describe, it } from 'node:test';
import { ConfigError } from '../../src/config/load-config.ts';
import { KubeError } from '../../src/kube/errors.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import {
  createAccountWithRules,
  createLabelledNamespace,
  createServiceAccount,
  readServiceAccount,
  secretsRule,
  startEcr,
} from '../provisioning/provisioning-fixture.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { readPullSecret, secretPath, secretsPath } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';
import { runOnce } from './run-command.ts';

const ownName = 'ecr-pull-secrets';
const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const other = '210987654321.dkr.ecr.us-east-1.amazonaws.com';

describeOnEachApiServer('sync and uninstall', onceSuite);

function onceSuite(apiServer: () => TestApiServer): void {
  let ecr: EcrDouble;
  before(async () => {
    ecr = await startEcr();
  });
  after(() => ecr.stop());
  afterEach(() => ecr.heal());

  const namespace = async (labels: Record<string, string> = {}): Promise<string> => {
    const name = await createLabelledNamespace(apiServer(), labels);
    await createServiceAccount(apiServer(), name);
    return name;
  };
  const run = (args: readonly string[], settings?: Record<string, unknown>) =>
    runOnce(args, apiServer().kubeconfigPath, settings);
  const json = async (args: readonly string[], settings?: Record<string, unknown>) => {
    const { code, stdout } = await run([...args, '--output', 'json'], settings);
    return { code, ...JSON.parse(stdout) };
  };

  describe('sync', () => {
    it('updates a namespace with a Role that permits only the names in the flags', async () => {
      const name = await namespace();
      const rules = [
        { ...secretsRule, verbs: ['get', 'create', 'patch'] },
        {
          apiGroups: [''],
          resources: ['serviceaccounts'],
          resourceNames: ['default'],
          verbs: ['get', 'patch'],
        },
      ];
      const kubeconfig = await createAccountWithRules(apiServer(), rules, name);
      const args = ['sync', '--namespace', name, '--service-account', 'default', '--registry', host];
      const first = await runOnce(args, kubeconfig);
      assert.deepEqual(
        [first.code, first.stdout],
        [0, '1 namespace: 1 Secret updated, 0 unchanged, 1 reference added\n'],
      );
      const secret = await readPullSecret(apiServer(), name);
      assert.ok(ecr.isUnexpired(atob(secret?.auths[host]?.auth ?? '').slice(4)));
      assert.deepEqual((await readServiceAccount(apiServer(), name)).pullSecrets, [ownName]);
      const again = await runOnce(args, kubeconfig);
      assert.equal(again.stdout, '1 namespace: 0 Secrets updated, 1 unchanged, 0 references added\n');
      assert.deepEqual(await readPullSecret(apiServer(), name), secret);
    });

    it('renews due tokens in place, also of hosts that are not in the flags', async () => {
      const name = await namespace();
      await run(['sync', '--namespace', name, '--registry', other]);
      const before = await readPullSecret(apiServer(), name);
      // the program uses the wall clock, so the stored token is given an old date
      const { body } = await apiServer().request('GET', secretPath(name));
      const { metadata, ...rest } = Object(body);
      const old = {
        issuedAt: '2020-01-01T00:00:00Z',
        expiresAt: new Date(Date.now() + 60_000).toISOString(),
      };
      const annotations = { 'ecr-pull-secrets.io/hosts': JSON.stringify({ [other]: old }) };
      await apiServer().request('PUT', secretPath(name), { ...rest, metadata: { ...metadata, annotations } });
      await run(['sync', '--namespace', name, '--registry', host]);
      const renewed = await readPullSecret(apiServer(), name);
      assert.equal(renewed?.uid, before?.uid);
      assert.deepEqual(Object.keys(renewed?.auths ?? {}).toSorted(), [host, other]);
      assert.notEqual(renewed?.auths[other]?.auth, before?.auths[other]?.auth);
    });

    it('selects namespaces by pattern, label or both, except excluded ones', async () => {
      const team = randomBytes(4).toString('hex');
      const [one, two, outside] = [await namespace({ team }), await namespace({ team }), await namespace()];
      const syncedNamespaces = async (namespaces: Record<string, unknown>, exclude: string[] = []) => {
        const provisioning = { registries: [host], namespaces };
        const { namespaces: done } = await json(['sync'], { provisioning, exclude: { namespaces: exclude } });
        return done.map((result: { namespace: string }) => result.namespace).toSorted();
      };
      assert.deepEqual(await syncedNamespaces({ selector: `team=${team}` }), [one, two].toSorted());
      assert.deepEqual(await syncedNamespaces({ selector: `team=${team}` }, [one]), [two]);
      assert.deepEqual(await syncedNamespaces({ selector: `team=${team}`, names: [one, outside] }), [one]);
      assert.deepEqual(await syncedNamespaces({ names: [`${outside.slice(0, -1)}*`] }), [outside]);
    });

    it('selects ServiceAccounts by pattern, instead of those in the configuration', async () => {
      const name = await namespace();
      await createServiceAccount(apiServer(), name, 'ci-one');
      await createServiceAccount(apiServer(), name, 'ci-two', { imagePullSecrets: [{ name: 'mine' }] });
      const result = await json([
        ...['sync', '--namespace', name, '--service-account', 'ci-*', '--registry', host],
      ]);
      assert.deepEqual(result.namespaces[0].serviceAccounts, [
        { name: 'ci-one', reference: 'added' },
        { name: 'ci-two', reference: 'added' },
      ]);
      assert.deepEqual((await readServiceAccount(apiServer(), name, 'ci-two')).pullSecrets, [
        'mine',
        ownName,
      ]);
      assert.equal((await readServiceAccount(apiServer(), name)).pullSecrets, undefined);
    });

    it('reports each namespace that failed with the cause, updates the others, and returns exit code 1', async () => {
      const [good, unmanaged] = [await namespace(), await namespace()];
      const path = secretsPath(unmanaged);
      await apiServer().request('POST', path, { metadata: { name: ownName } });
      const args = ['sync', '--registry', host, '--service-account', 'default', '--service-account', 'gone'];
      const { code, stdout } = await run([...args, '--namespace', good, '--namespace', unmanaged]);
      assert.equal(code, 1);
      const rows = stdout.split('\n').map((line) => line.split(/ {2,}/));
      assert.match(rows[4]?.pop() ?? '', /not managed by ecr-pull-secrets/);
      assert.deepEqual(rows.slice(0, 7), [
        ['2 namespaces: 1 Secret updated, 0 unchanged, 2 references added, 2 namespaces failed'],
        [''],
        ['NAMESPACE', 'WHAT', 'WHY'],
        [good, 'ServiceAccount gone', 'there is no such ServiceAccount'],
        [unmanaged, host],
        [unmanaged, 'ServiceAccount gone', 'there is no such ServiceAccount'],
        [''],
      ]);
    });

    it('reports that ECR returns no token, and keeps the stored tokens', async () => {
      const name = await namespace();
      await run(['sync', '--namespace', name, '--registry', host]);
      const before = await readPullSecret(apiServer(), name);
      ecr.fail({ error: 'AccessDeniedException' });
      const { code, namespaces, failed } = await json(['sync', '--namespace', name, '--registry', other]);
      assert.deepEqual([code, failed, namespaces[0].secret], [1, 1, 'failed']);
      const failures: { what: string; code: string }[] = namespaces[0].failures;
      assert.ok(failures.some(({ what, code }) => what === other && code === 'AccessDeniedException'));
      assert.deepEqual((await readPullSecret(apiServer(), name))?.auths[host], before?.auths[host]);
    });

    it('gives a namespace nothing that rules deny, removes what it had, and succeeds', async () => {
      const [name, other] = [await namespace({ tier: 'test' }), await namespace({ tier: 'prod' })];
      const args = ['sync', '--namespace', name, '--namespace', other, '--registry', host];
      assert.equal((await run(args)).code, 0);
      assert.ok((await readPullSecret(apiServer(), name))?.auths[host]);
      const rules = [{ namespaces: { selector: 'tier=test' }, access: 'deny' }];
      const later = await run(args, { registries: rules });
      assert.deepEqual(
        [later.code, later.stdout],
        [0, '2 namespaces: 0 Secrets updated, 1 unchanged, 1 denied by rules, 0 references added\n'],
      );
      assert.deepEqual((await readPullSecret(apiServer(), name))?.auths, {});
      assert.ok((await readPullSecret(apiServer(), other))?.auths[host]);
    });

    it('does nothing without a registry, or if the settings exclude what the flags name, and reports the reason', async () => {
      await assert.rejects(run(['sync', '--namespace', 'x']), (error: unknown) => {
        assert.ok(error instanceof ConfigError);
        assert.match(error.message, /provisioning.registries is empty and --registry is not given/);
        return true;
      });
      const args = ['sync', '--namespace', 'lab-1', '--registry', host];
      const exclusions: [object, RegExp][] = [
        [{ namespaces: ['lab-*'] }, /exclude\.namespaces excludes lab-1, which --namespace names/],
        [{ accounts: ['123*'] }, new RegExp(`exclude\\.accounts excludes ${host}, which --registry names`)],
      ];
      for (const [exclude, expected] of exclusions) {
        await assert.rejects(run(args, { exclude }), (error: unknown) => {
          assert.ok(error instanceof ConfigError);
          assert.match(error.message, expected);
          return true;
        });
      }
    });

    it('updates kube-system if it is named, but not by a pattern; uninstall removes Secret and reference', async () => {
      await apiServer().request('POST', '/api/v1/namespaces', { metadata: { name: 'kube-system' } });
      await createServiceAccount(apiServer(), 'kube-system', 'example');
      // A name that no other test uses, because uninstall applies to the whole cluster.
      const secretName = `own-${randomBytes(4).toString('hex')}`;
      const settings = (names: string[]) => ({
        secretName,
        provisioning: { registries: [host], namespaces: { names }, serviceAccounts: ['example'] },
      });
      const path = `/api/v1/namespaces/kube-system/secrets/${secretName}`;
      for (const names of [['kube-sys*'], ['kube-system']]) {
        await run(['sync'], settings(names));
        const { status } = await apiServer().request('GET', path);
        assert.equal(status, names.includes('kube-system') ? 200 : 404, `${names}`);
      }
      assert.deepEqual((await readServiceAccount(apiServer(), 'kube-system', 'example')).pullSecrets, [
        secretName,
      ]);
      assert.equal((await run(['uninstall', '--yes'], settings([]))).code, 0);
      assert.equal((await apiServer().request('GET', path)).status, 404);
      assert.equal((await readServiceAccount(apiServer(), 'kube-system', 'example')).pullSecrets, undefined);
    });

    it('fails if a name or pattern selects no namespace, reports each of them, and syncs the others', async () => {
      const [name, outside] = [await namespace({ team: 'unmatched' }), await namespace()];
      const missing = `missing-${randomBytes(4).toString('hex')}`;
      const byFlag = ['--namespace', name, '--namespace', missing, '--registry', host];
      const named = await run(['sync', ...byFlag]);
      assert.equal(named.code, 1);
      assert.equal(
        named.stdout,
        `1 namespace: 1 Secret updated, 0 unchanged, 1 reference added\n--namespace ${missing} selects no namespace\n`,
      );
      const pattern = await run(['sync', ...byFlag, '--namespace', `${missing}*`]);
      assert.equal(pattern.code, 1);
      assert.equal(
        pattern.stdout,
        [
          '1 namespace: 0 Secrets updated, 1 unchanged, 0 references added',
          `--namespace ${missing} selects no namespace`,
          `--namespace ${missing}* selects no namespace`,
          '',
        ].join('\n'),
      );
      const configured = (namespaces: object, excluded: string[] = []) => ({
        provisioning: { registries: [host], namespaces },
        exclude: { namespaces: excluded },
      });
      const key = 'provisioning.namespaces.names';
      const cases: [Record<string, unknown>, string][] = [
        [configured({ names: [name, `${missing}*`] }), `${missing}*`],
        [configured({ names: [name, outside], selector: 'team=unmatched' }), outside],
        [configured({ names: [name, `${outside}*`] }, [outside]), `${outside}*`],
        [configured({ names: [name, 'kube-sys*'] }), 'kube-sys*'],
      ];
      for (const [settings, unmatched] of cases) {
        const { code, namespaces, failures } = await json(['sync'], settings);
        const what = `${key} ${unmatched}`;
        const failure = { what, code: 'no-namespace', text: `${what} selects no namespace` };
        assert.deepEqual([code, failures], [1, [failure]]);
        assert.deepEqual(
          namespaces.map((result: { namespace: string }) => result.namespace),
          [name],
        );
      }
    });

    it('succeeds if each name and pattern selects a namespace', async () => {
      const name = await namespace();
      const names = [`${name.slice(0, -1)}*`, name];
      const args = names.flatMap((given) => ['--namespace', given]);
      const { code, failures } = await json(['sync', ...args, '--registry', host]);
      assert.deepEqual([code, failures], [0, undefined]);
    });

    it('fails without the permission to list namespaces', async () => {
      const kubeconfig = await createAccountWithRules(apiServer(), [secretsRule]);
      await assert.rejects(
        runOnce(['sync', '--registry', host], kubeconfig),
        (error: unknown) => error instanceof KubeError && error.code === 'forbidden',
      );
    });
  });

  describe('a Secret whose label another user changed', () => {
    const label = 'app.kubernetes.io/managed-by';
    const relabel = async (name: string, secretName = ownName) => {
      const path = `/api/v1/namespaces/${name}/secrets/${secretName}?fieldManager=kubectl-label`;
      const patch = { metadata: { labels: { [label]: 'Helm' } } };
      const how = { contentType: 'application/merge-patch+json' };
      assert.equal((await apiServer().request('PATCH', path, patch, how)).status, 200);
    };

    it('is restored by sync, after which hosts can be removed from it', async () => {
      const name = await namespace();
      await run(['sync', '--namespace', name, '--registry', host, '--registry', other]);
      const before = await readPullSecret(apiServer(), name);
      await relabel(name);
      const { code, namespaces } = await json(['sync', '--namespace', name, '--registry', host]);
      assert.deepEqual([code, namespaces[0].secret], [0, 'updated']);
      const restored = await readPullSecret(apiServer(), name);
      assert.deepEqual(
        { ...restored, resourceVersion: '' },
        { ...before, resourceVersion: '' },
        'with its hosts and tokens',
      );
      assert.equal((await run(['remove-host', '--namespace', name, other])).code, 0);
      assert.deepEqual(Object.keys((await readPullSecret(apiServer(), name))?.hosts ?? {}), [host]);
    });

    it('is removed by uninstall, unless that user has changed the content too', async () => {
      const [relabelled, replaced] = [await namespace(), await namespace()];
      const secretName = `own-${randomBytes(4).toString('hex')}`;
      const settings = { secretName };
      for (const name of [relabelled, replaced]) {
        await run(['sync', '--namespace', name, '--registry', host], settings);
      }
      const path = `/api/v1/namespaces/${replaced}/secrets/${secretName}`;
      const { status } = await apiServer().request('PUT', `${path}?fieldManager=kubectl-replace`, {
        metadata: { name: secretName },
        type: 'kubernetes.io/dockerconfigjson',
        data: { '.dockerconfigjson': btoa('{"auths":{}}') },
      });
      assert.equal(status, 200);
      await relabel(relabelled, secretName);
      const { failed, removals } = await json(['uninstall', '--yes'], settings);
      assert.equal(failed, 0);
      const outcomes = new Map(
        removals
          .filter(({ kind }: { kind: string }) => kind === 'Secret')
          .map((removal: { namespace: string; outcome: string }) => [removal.namespace, removal.outcome]),
      );
      assert.deepEqual([outcomes.get(relabelled), outcomes.get(replaced)], ['removed', 'skipped']);
      assert.equal((await apiServer().request('GET', path)).status, 200);
    });
  });

  describe('uninstall', () => {
    it('lists on a dry run, and then removes only managed objects', async () => {
      const [one, unmanaged] = [await namespace(), await namespace()];
      // A name that no other test uses, because uninstall applies to the whole cluster.
      const secretName = `own-${randomBytes(4).toString('hex')}`;
      const settings = { secretName };
      await createServiceAccount(apiServer(), one, 'mixed', {
        imagePullSecrets: [{ name: 'a' }, { name: 'b' }],
      });
      await createServiceAccount(apiServer(), one, 'by-hand', { imagePullSecrets: [{ name: secretName }] });
      const names = ['default', 'mixed', 'by-hand'].flatMap((name) => ['--service-account', name]);
      await run(['sync', '--namespace', one, '--registry', host, ...names], settings);
      for (const [name, type] of [
        [secretName, 'Opaque'],
        ['another', 'kubernetes.io/dockerconfigjson'],
      ]) {
        await apiServer().request('POST', `/api/v1/namespaces/${unmanaged}/secrets`, {
          metadata: { name, labels: { 'app.kubernetes.io/managed-by': ownName } },
          type,
          data: type === 'Opaque' ? {} : { '.dockerconfigjson': btoa('{"auths":{}}') },
        });
      }
      const everything = async () => [
        (await apiServer().request('GET', `/api/v1/namespaces/${one}/secrets/${secretName}`)).status,
        (await apiServer().request('GET', `/api/v1/namespaces/${unmanaged}/secrets/${secretName}`)).status,
        (await apiServer().request('GET', `/api/v1/namespaces/${unmanaged}/secrets/another`)).status,
        ...(await Promise.all(
          ['default', 'mixed', 'by-hand'].map(
            async (name) => await readServiceAccount(apiServer(), one, name),
          ),
        )),
      ];
      const before = await everything();
      const dry = await json(['uninstall', '--dry-run'], settings);
      const about = (removals: { namespace: string; name: string; outcome: string }[]) =>
        removals
          .filter(({ namespace: where }) => where === one || where === unmanaged)
          .map(({ namespace: where, name, outcome }) => `${where} ${name} ${outcome}`);
      assert.deepEqual(about(dry.removals), [
        `${one} default would-remove`,
        `${one} mixed would-remove`,
        ...[`${unmanaged} ${secretName} skipped`, `${one} ${secretName} would-remove`].toSorted(),
      ]);
      assert.deepEqual(await everything(), before);

      const { code, stdout } = await run(['uninstall', '--yes'], settings);
      assert.equal(code, 0);
      assert.match(
        stdout,
        new RegExp(`${unmanaged} +Secret ${secretName} +skipped: not managed by ecr-pull-secrets`),
      );
      const [gone, left, another, ...accounts] = await everything();
      assert.deepEqual([gone, left, another], [404, 200, 200]);
      assert.deepEqual(
        accounts.map((account) => Object(account).pullSecrets),
        [undefined, ['a', 'b'], [secretName]],
      );
      assert.equal((await json(['uninstall', '--yes'], settings)).failed, 0);
    });

    it('changes nothing without the permission to list ServiceAccounts and Secrets', async () => {
      const name = await namespace();
      await run(['sync', '--namespace', name, '--registry', host]);
      const kubeconfig = await createAccountWithRules(apiServer(), [secretsRule]);
      await assert.rejects(
        runOnce(['uninstall', '--yes'], kubeconfig),
        (error: unknown) => error instanceof KubeError && error.code === 'forbidden',
      );
      assert.ok(await readPullSecret(apiServer(), name));
    });
  });
}
