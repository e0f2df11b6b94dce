// Tests that each permission of the chart is necessary and sufficient, on a real API server.
import assert from 'node:assert/strict';
import { after, afterEach, before, describe, it } from 'node:test';
import { loadKubeConfig } from '../../src/kube/client.ts';
import { createEventApi } from '../../src/kube/events.ts';
import { listPods } from '../../src/kube/pods.ts';
import { createRequest, type Request } from '../cluster/kube-request.ts';
import { runOnce } from '../commands/run-command.ts';
import type { EcrDouble } from '../doubles/ecr/ecr-double.ts';
import { readServiceAccount, startEcr } from '../provisioning/provisioning-fixture.ts';
import { eventually } from '../support/eventually.ts';
import type { RunningProgram } from '../support/program.ts';
import { readPullSecret } from '../support/pull-secret.ts';
import { describeChartOnCluster } from './chart-suite.ts';
import type { Values } from './helm.ts';
import { registry } from './install-modes.ts';
import { getLocalProgramValues, startLocalProgram } from './local-program.ts';
import { createRelease, type Release } from './release.ts';
import { getValueAt } from './rendered-objects.ts';
import { clusterRole, forbiddenPattern, openTemporaryRole } from './roles.ts';

describeChartOnCluster('permissions of the running program', (cluster, helm) => {
  const role = openTemporaryRole((...call) => cluster().request(...call), clusterRole);
  let ecr: EcrDouble;
  let release: Release;
  let program: RunningProgram | undefined;
  before(async () => {
    ecr = await startEcr();
    release = await createRelease(cluster(), helm());
    await release.install(getLocalProgramValues({ config: { provisioning: { registries: [registry] } } }));
    await role.read();
  });
  afterEach(async () => {
    await program?.stop();
    program = undefined;
    await role.restore();
  });
  after(async () => {
    await release?.uninstall();
    await ecr.stop();
  });

  /** Whether the program has provisioned a namespace that was created while it runs. */
  const isProvisioned = async (namespace: string) => {
    const secret = await readPullSecret(cluster(), namespace);
    const { pullSecrets } = await readServiceAccount(cluster(), namespace);
    return secret?.auths[registry] !== undefined && pullSecrets?.includes('ecr-pull-secrets') === true;
  };

  it('are sufficient: Secret and reference exist, and no request was refused', async () => {
    program = await startLocalProgram(release, ecr);
    const namespace = await cluster().createNamespace();
    await eventually('Secret and reference exist', () => isProvisioned(namespace));
    // The program lists all ServiceAccounts once, and continues without this optional permission.
    const optional = /"level":"debug".*cannot list resource \\"serviceaccounts\\"/;
    const refused = program
      .output()
      .split('\n')
      .filter((line) => line.includes('cannot ') && !optional.test(line));
    assert.deepEqual(refused, []);
  });

  for (const [resource, verbs] of [
    ['secrets', ['get', 'list', 'watch', 'create', 'patch']],
    ['namespaces', ['list', 'watch']],
    ['serviceaccounts', ['get', 'list', 'watch', 'patch']],
  ] as const) {
    for (const verb of verbs) {
      it(`are all necessary: without ${verb} on ${resource}, the log reports the missing permission`, async () => {
        await role.without(verb, resource);
        const started = await startLocalProgram(release, ecr, { waitUntilReady: false });
        program = started;
        const namespace = await cluster().createNamespace();
        await eventually('the log reports it', () => {
          const lines = started.output().split('\n');
          return lines.some(
            (line) => forbiddenPattern(verb, resource).test(line) && !line.includes('"level":"debug"'),
          );
        });
        if (verb !== 'watch') {
          assert.equal(await isProvisioned(namespace), false);
        }
      });
    }
  }

  it('are all necessary: without create on events, no Event can be created', async () => {
    const namespace = await cluster().createNamespace();
    const options = {
      kubeconfigPath: await release.kubeconfig(),
      requestTimeoutMs: 10_000,
      userAgent: 'test',
    };
    const config = loadKubeConfig(options);
    const events = createEventApi(config, 'ecr-pull-secrets');
    const object = { kind: 'Secret', namespace, name: 'ecr-pull-secrets' };
    const event = {
      object,
      type: 'Warning',
      reason: 'PullTokenRefused',
      message: 'x',
      at: Date.now(),
    } as const;
    assert.equal(await events.create({ name: 'one', ...event }), true);
    await role.without('create', 'events');
    await eventually('the permission is removed', async () => {
      return events.create({ name: 'two', ...event }).then(
        () => false,
        (error: unknown) => getValueAt(error, 'code') === 'forbidden',
      );
    });
    await config.close();
  });

  it('are all necessary: without list on pods, the pods of a namespace cannot be listed', async () => {
    const namespace = await cluster().createNamespace();
    const options = { requestTimeoutMs: 10_000, userAgent: 'test' };
    const config = loadKubeConfig({ kubeconfigPath: await release.kubeconfig(), ...options });
    await listPods(config, namespace, () => undefined);
    await role.without('list', 'pods');
    await eventually('the permission is removed', async () => {
      return listPods(config, namespace, () => undefined).then(
        () => false,
        (error: unknown) => getValueAt(error, 'code') === 'forbidden',
      );
    });
    await config.close();
  });

  describe('do not include more', () => {
    let asProgram: Request;
    let namespace: string;
    before(async () => {
      asProgram = createRequest(await release.kubeconfig());
      namespace = await cluster().createNamespace();
    });
    const pullSecret = { metadata: { name: 'ecr-pull-secrets' }, type: 'Opaque' };
    const cases: [string, string, (namespace: string) => string, unknown?][] = [
      ['read another Secret', 'GET', (of) => `/api/v1/namespaces/${of}/secrets/other`],
      ['list Secrets of a namespace', 'GET', (of) => `/api/v1/namespaces/${of}/secrets`],
      ['list Secrets of the cluster', 'GET', () => '/api/v1/secrets'],
      ['list Secrets of another name', 'GET', () => '/api/v1/secrets?fieldSelector=metadata.name%3Dother'],
      [
        'create a Secret by POST, even of its name',
        'POST',
        (of) => `/api/v1/namespaces/${of}/secrets`,
        pullSecret,
      ],
      ['replace its Secret', 'PUT', (of) => `/api/v1/namespaces/${of}/secrets/ecr-pull-secrets`, pullSecret],
      ['delete its Secret', 'DELETE', (of) => `/api/v1/namespaces/${of}/secrets/ecr-pull-secrets`],
      ['read Events', 'GET', (of) => `/api/v1/namespaces/${of}/events`],
      ['read a pod', 'GET', (of) => `/api/v1/namespaces/${of}/pods/x`],
      ['watch pods', 'GET', (of) => `/api/v1/namespaces/${of}/pods?watch=true`],
      ['create pods', 'POST', (of) => `/api/v1/namespaces/${of}/pods`, { metadata: { name: 'x' } }],
      ['delete pods', 'DELETE', (of) => `/api/v1/namespaces/${of}/pods/x`],
      ['read ConfigMaps, its own too', 'GET', () => `/api/v1/namespaces/${release.namespace}/configmaps`],
      ['read a namespace', 'GET', (of) => `/api/v1/namespaces/${of}`],
      [
        'change a namespace',
        'PATCH',
        (of) => `/api/v1/namespaces/${of}`,
        { metadata: { labels: { a: 'b' } } },
      ],
      ['list all ServiceAccounts', 'GET', () => '/api/v1/serviceaccounts'],
      ['read another ServiceAccount', 'GET', (of) => `/api/v1/namespaces/${of}/serviceaccounts/other`],
      [
        'create tokens',
        'POST',
        (of) => `/api/v1/namespaces/${of}/serviceaccounts/default/token`,
        { spec: {} },
      ],
      [
        'read webhook configurations',
        'GET',
        () => '/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/zz-ecr-pull-secrets',
      ],
      ['read its own role', 'GET', () => clusterRole],
    ];
    for (const [what, method, path, body] of cases) {
      it(`may not ${what}`, async () => {
        const contentType = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
        const response = await asProgram(method, path(namespace), body, { contentType });
        assert.equal(response.status, 403, JSON.stringify(response.body));
      });
    }
  });
});

describeChartOnCluster('permissions of the CronJob', (cluster, helm) => {
  const role = openTemporaryRole((...call) => cluster().request(...call), clusterRole);
  let ecr: EcrDouble;
  let release: Release;
  const provisioning = (serviceAccounts: readonly string[], names: readonly string[] = []) => ({
    cronJob: { enabled: true },
    config: { provisioning: { registries: [registry], namespaces: { names }, serviceAccounts } },
  });
  before(async () => {
    ecr = await startEcr();
    release = await createRelease(cluster(), helm());
    await release.install(provisioning(['*']));
    await role.read();
  });
  afterEach(() => role.restore());
  after(async () => {
    await release?.uninstall();
    await ecr.stop();
  });
  const sync = async () => {
    const namespace = await cluster().createNamespace();
    const { code, stdout, stderr } = await runOnce(
      ['sync'],
      await release.kubeconfig(),
      await release.configFile(),
    );
    return { namespace, code, output: stdout + stderr };
  };

  it('are sufficient: one run provisions all namespaces', async () => {
    const { namespace, code, output } = await sync();
    assert.equal(code, 0, output);
    assert.ok((await readPullSecret(cluster(), namespace))?.auths[registry]);
    assert.deepEqual((await readServiceAccount(cluster(), namespace)).pullSecrets, ['ecr-pull-secrets']);
  });

  for (const [resource, verbs] of [
    ['secrets', ['get', 'create', 'patch']],
    ['namespaces', ['list']],
    ['serviceaccounts', ['get', 'list', 'patch']],
  ] as const) {
    for (const verb of verbs) {
      it(`are all necessary: without ${verb} on ${resource}, the run fails and reports the missing permission`, async () => {
        await role.without(verb, resource);
        const message = await eventually('the permission is removed', async () => {
          try {
            const { code, output } = await sync();
            return code === 0 ? undefined : output;
          } catch (error) {
            return String(error);
          }
        });
        assert.match(message, forbiddenPattern(verb, resource));
      });
    }
  }

  it('are fewer if namespaces and ServiceAccounts are named', async () => {
    const namespace = await cluster().createNamespace();
    const values: Values = provisioning(['default'], [namespace]);
    // The tests above changed the role without Helm.
    await release.upgrade(values, ['--reset-values', '--force-conflicts']);
    const { code, stdout, stderr } = await runOnce(
      ['sync'],
      await release.kubeconfig(),
      await release.configFile(),
    );
    assert.equal(code, 0, stdout + stderr);
    assert.ok((await readPullSecret(cluster(), namespace))?.auths[registry]);
    await role.read();
  });
});
