// Tests that the label of a managed Secret is restored and that unmanaged Secrets stay unchanged, on any API server.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { type EcrDouble, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { describeOnEachApiServer } from '../support/api-server-suites.ts';
import { eventually } from '../support/eventually.ts';
import { installServiceAccount, type RegisteredWebhook, registerWebhook } from '../support/installation.ts';
import { createPod, podWith } from '../support/pods.ts';
import { type RunningProgram, startProgram } from '../support/program.ts';
import { hostIn } from '../support/program-fixture.ts';
import { readPullSecret, secretPath } from '../support/pull-secret.ts';
import type { TestApiServer } from '../support/test-api-server.ts';

const hosts = [hostIn('eu-central-1'), hostIn('us-east-1')];
const withinMs = 60_000;
const merged = 'application/merge-patch+json';
const applied = 'application/apply-patch+yaml';
const type = 'kubernetes.io/dockerconfigjson';
const data = { '.dockerconfigjson': btoa('{"auths":{"registry.example":{"auth":"eDp5"}}}') };

interface ManagedFields {
  readonly manager: string;
  readonly fieldsV1: { readonly 'f:metadata'?: { readonly 'f:labels'?: Record<string, unknown> } };
}

describeOnEachApiServer('ownership of a pull Secret', ownershipSuite);

/** What users do to the label of a managed Secret, or to the whole Secret, while the program runs. */
function ownershipSuite(apiServer: () => TestApiServer): void {
  describe('a managed Secret', () => {
    let ecr: EcrDouble;
    let program: RunningProgram;
    let webhook: RegisteredWebhook;
    before(async () => {
      ecr = await startEcrDouble();
      program = await startProgram({
        kubeconfigPath: await installServiceAccount(apiServer()),
        environment: ecr.env(),
      });
      webhook = await registerWebhook(apiServer(), program);
    });
    after(async () => {
      await webhook?.remove();
      await program?.stop();
      await ecr.stop();
    });

    const createFilledSecret = async () => {
      const namespace = await webhook.createNamespace();
      await createPod(apiServer(), namespace, podWith(hosts.map((host) => `${host}/app`)));
      const secret = await eventually('the Secret has its tokens', async () => {
        const found = await readPullSecret(apiServer(), namespace);
        return found !== undefined && Object.keys(found.auths).length === hosts.length && found;
      });
      return { namespace, secret };
    };
    const change = async (namespace: string, manager: string, patch: unknown, contentType = merged) => {
      const path = `${secretPath(namespace)}?fieldManager=${manager}`;
      const force = contentType === applied ? '&force=true' : '';
      const { status, body } = await apiServer().request('PATCH', `${path}${force}`, patch, { contentType });
      assert.equal(status, 200, JSON.stringify(body));
    };
    const ownersOfLabel = async (namespace: string) => {
      const { body } = await apiServer().request('GET', secretPath(namespace));
      const { metadata } = body as { metadata: { managedFields: ManagedFields[] } };
      return metadata.managedFields
        .filter(({ fieldsV1 }) => fieldsV1['f:metadata']?.['f:labels']?.[`f:${managedByLabel}`] !== undefined)
        .map(({ manager }) => manager);
    };
    const labelled = async (namespace: string) =>
      (await readPullSecret(apiServer(), namespace))?.labels[managedByLabel];
    const secretWith = (label: string | undefined) => ({
      ...{ apiVersion: 'v1', kind: 'Secret' },
      metadata: {
        name: 'ecr-pull-secrets',
        labels: label === undefined ? { team: 'shop' } : { [managedByLabel]: label, team: 'shop' },
      },
    });

    const relabelled: [string, (namespace: string) => Promise<void>][] = [
      [
        'changed (kubectl label --overwrite)',
        (namespace) =>
          change(namespace, 'kubectl-label', { metadata: { labels: { [managedByLabel]: 'Helm' } } }),
      ],
      [
        'removed (kubectl label KEY-)',
        (namespace) =>
          change(namespace, 'kubectl-label', { metadata: { labels: { [managedByLabel]: null } } }),
      ],
      ['changed by server-side apply', (namespace) => change(namespace, 'helm', secretWith('Helm'), applied)],
      [
        'removed by server-side apply',
        async (namespace) => {
          await change(namespace, 'helm', secretWith('Helm'), applied);
          await change(namespace, 'helm', secretWith(undefined), applied);
        },
      ],
    ];
    for (const [what, relabel] of relabelled) {
      it(`has its label restored, with its tokens, if that is ${what}`, async () => {
        const { namespace, secret } = await createFilledSecret();
        await relabel(namespace);
        await eventually(
          'the label is restored, and the program owns it',
          async () =>
            (await labelled(namespace)) === productName &&
            (await ownersOfLabel(namespace)).every((manager) => manager.startsWith(productName)),
          withinMs,
        );
        const restored = await readPullSecret(apiServer(), namespace);
        assert.equal(restored?.uid, secret.uid);
        assert.deepEqual(restored?.auths, secret.auths);
        assert.deepEqual(restored?.hosts, secret.hosts);
        assert.match(await program.metrics(), /failing_hosts\{permanent="true"\} 0/);
      });
    }

    const replacements: [string, (namespace: string) => Promise<{ status: number }>][] = [
      [
        'replaced at once (kubectl replace)',
        (namespace) =>
          apiServer().request('PUT', `${secretPath(namespace)}?fieldManager=kubectl-replace`, {
            ...secretWith('Helm'),
            ...{ type, data },
          }),
      ],
      [
        'deleted and created again (kubectl create)',
        async (namespace) => {
          const collection = secretPath(namespace).replace(/\/[^/]+$/, '?fieldManager=kubectl-create');
          return await eventually('it is created before the program restores its own', async () => {
            await apiServer().request('DELETE', secretPath(namespace));
            const created = await apiServer().request('POST', collection, {
              ...secretWith(undefined),
              ...{ type, data },
            });
            return created.status === 201 && { status: 200 };
          });
        },
      ],
    ];
    for (const [what, replace] of replacements) {
      it(`that is ${what} is reported and not changed, and comes back with all hosts when that one is deleted`, async () => {
        const { namespace, secret } = await createFilledSecret();
        assert.equal((await replace(namespace)).status, 200);
        const unmanaged = await apiServer().request('GET', secretPath(namespace));
        const isReported = (line: Record<string, unknown>) =>
          line['namespace'] === namespace &&
          line['level'] === 'warn' &&
          String(line['msg']).startsWith('the pull Secret is no longer managed');
        await eventually('the log reports it', () => program.log().some(isReported), withinMs);
        const { warnings } = await createPod(apiServer(), namespace, podWith([`${hosts[0]}/app`]));
        assert.equal(warnings.length, 1);
        const after = await apiServer().request('GET', secretPath(namespace));
        assert.deepEqual(after.body, unmanaged.body);
        assert.equal(program.log().filter(isReported).length, 1);

        await apiServer().request('DELETE', secretPath(namespace));
        await eventually(
          'there is a managed Secret with a token for each host',
          async () => {
            const found = await readPullSecret(apiServer(), namespace);
            return (
              found?.labels[managedByLabel] === productName &&
              hosts.every((host) => found.auths[host] !== undefined && found.hosts[host] !== null)
            );
          },
          withinMs,
        );
        assert.notEqual((await readPullSecret(apiServer(), namespace))?.uid, secret.uid);
      });
    }

    it('stays managed with all hosts if content and label are changed one after the other', async () => {
      const { namespace } = await createFilledSecret();
      await change(namespace, 'kubectl-edit', {
        metadata: { annotations: { [hostsAnnotation]: null } },
        data,
      });
      await eventually(
        'all hosts are restored, and the added entry is kept',
        async () => {
          const { auths = {}, hosts: named = {} } = (await readPullSecret(apiServer(), namespace)) ?? {};
          return hosts.every((host) => auths[host] && named[host]) && auths['registry.example'] !== undefined;
        },
        withinMs,
      );
      await change(namespace, 'kubectl-label', { metadata: { labels: { [managedByLabel]: 'Helm' } } });
      await eventually(
        'the label is restored',
        async () => (await labelled(namespace)) === productName,
        withinMs,
      );
    });
  });
}
