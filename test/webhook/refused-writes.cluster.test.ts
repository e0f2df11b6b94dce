// What the operator and the pod's author see of a refused write: the kubectl warning, the log and the Event.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { createEventApi } from '../../src/kube/events.ts';
import { createSecretApi } from '../../src/kube/secrets.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { failedHost } from '../../src/pull-secrets/unavailable-host.ts';
import { createHostEventReporter } from '../../src/renewal/host-events.ts';
import { AttemptTracker } from '../../src/renewal/renewal-attempts.ts';
import { createJsonLog } from '../../src/telemetry/log.ts';
import { getField, getItems } from '../../src/util/json.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type ScriptedWebhook, startScriptedWebhook } from '../doubles/scripted-webhook.ts';
import { buildPullSecret, createConfig, secretName } from '../kube/secret-api-fixtures.ts';
import { eventually } from '../support/eventually.ts';
import { podWith } from '../support/pods.ts';
import { assertNoSecretLeaked, hostIn, setUpProgram } from '../support/program-fixture.ts';
import { secretPath } from '../support/pull-secret.ts';
import { resolveRegistry } from '../support/registries.ts';
import {
  bindPolicy,
  createAdmissionPolicy,
  createSecretQuota,
  registerRefusingWebhook,
} from '../support/secret-refusers.ts';

describeOnCluster('a refused write on a real API server', (cluster) => {
  describe('is explained to the author of a pod, and in the log', () => {
    const fixture = setUpProgram(cluster);
    let webhook: ScriptedWebhook;
    before(async () => {
      webhook = await startScriptedWebhook();
      webhook.script = ({ request }) => {
        const { data } = Object(request['object']);
        // as policy engines do, and with all of the Secret
        return {
          allowed: false,
          status: { message: `every Secret needs an owner: ${JSON.stringify(data)}` },
        };
      };
    });
    after(() => webhook.stop());

    const assertWarning = async (namespace: string, region: string, cause: string, message: string) => {
      const host = hostIn(region);
      // A new rule takes effect after some time, and a busy machine may exceed the deadline.
      await eventually(
        'the warning names what refused the write',
        async () => {
          const { status, warnings } = await fixture().createPod(namespace, podWith([`${host}/app:1`]));
          assert.equal(status, 201);
          assert.deepEqual(warnings, [`no pull token for ${host}: ${cause}`]);
          assert.ok((warnings[0] ?? '').length <= 120);
          return true;
        },
        60_000,
      );
      await eventually('the log names it too', () =>
        fixture()
          .program.log()
          .some(({ namespace: of, cause: logged }) => of === namespace && String(logged).includes(message)),
      );
    };

    it('with the name of the policy', async () => {
      const namespace = await fixture().createNamespace();
      const messageExpression = "string(object.data['.dockerconfigjson'])";
      await createAdmissionPolicy(cluster(), 'Validating', 'need-owner', {
        validations: [{ expression: 'false', messageExpression }],
      });
      await bindPolicy(cluster(), 'Validating', 'need-owner', namespace);
      await eventually('the policy is in force', () => isRefused(namespace), 60_000);
      const message = `cannot apply Secret ${namespace}/ecr-pull-secrets (invalid, HTTP 422, ValidatingAdmissionPolicy 'need-owner'`;
      await assertWarning(namespace, 'us-east-1', 'denied by policy "need-owner"', message);
    });

    it('with the name of the webhook', async () => {
      const namespace = await fixture().createNamespace();
      const name = 'validate.kyverno.svc-fail';
      await registerRefusingWebhook(cluster(), 'Validating', name, namespace, webhook);
      await eventually('the webhook is called', () => isRefused(namespace), 60_000);
      const message = `HTTP 400, admission webhook "${name}" denied the request`;
      await assertWarning(namespace, 'us-east-1', `denied by webhook "${name}"`, message);
    });

    it('with the name of the quota', async () => {
      const namespace = await fixture().createNamespace();
      await createSecretQuota(cluster(), namespace, 'few');
      await assertWarning(namespace, 'us-east-1', 'exceeded quota "few"', 'HTTP 403, exceeded quota: few');
    });

    it('with what to do if the Secret is immutable', async () => {
      const namespace = await fixture().createNamespace();
      await fixture().createPod(namespace, podWith([`${hostIn('us-east-1')}/app:1`]));
      await eventually('the Secret is immutable', async () => {
        const { body } = await cluster().request('GET', secretPath(namespace));
        const immutable = { ...Object(body), immutable: true };
        return (await cluster().request('PUT', secretPath(namespace), immutable)).status === 200;
      });
      const message =
        'HTTP 422, the Secret is immutable, field data (FieldValueForbidden)): delete the Secret';
      await assertWarning(namespace, 'us-west-2', 'Secret is immutable; delete it', message);
    });

    it('without a token or key anywhere', () => assertNoSecretLeaked(fixture()));

    const isRefused = async (namespace: string): Promise<boolean> => {
      const path = `/api/v1/namespaces/${namespace}/secrets?dryRun=All`;
      return (await cluster().request('POST', path, pullSecretBody(namespace))).status >= 400;
    };
    const pullSecretBody = (namespace: string) => ({
      ...buildPullSecret(namespace, 'probe'),
      metadata: { name: 'probe' },
    });
  });

  it('is explained in an Event of renewal, and counted as a permanent failure', async () => {
    const namespace = await cluster().createNamespace('refuser');
    await createSecretQuota(cluster(), namespace, 'few');
    const config = createConfig(cluster().kubeconfigPath, 60_000);
    const host = hostIn('us-east-1');
    const unavailable = await createSecretApi(config)
      .apply(buildPullSecret(namespace, 'Canary'), { fieldManager: 'one', force: true })
      .then(
        () => assert.fail('the quota must refuse the write'),
        (error: unknown) => failedHost(host, error),
      );
    const attempts = new AttemptTracker();
    const now = Date.UTC(2026, 10, 23, 12);
    const due = {
      namespace,
      kind: 'missing',
      reason: 'missing-token',
      hosts: [host],
      expiresAt: Infinity,
    } as const;
    attempts.record(due, [unavailable], now, 0, 0);
    const failure = attempts.get(namespace, 'missing');
    assert.ok(failure?.permanent);
    const report = createHostEventReporter({
      secretName,
      secretCache: new SecretCache(resolveRegistry),
      createEvent: (event) => createEventApi(config, 'ecr-pull-secrets').create(event),
      now: () => now,
      log: createJsonLog('silent', process.stderr),
    });
    report({
      failing: [{ namespace, host, kind: 'missing', expiresAt: undefined, failure }],
      recovered: [],
      expiring: [],
    });
    const event = await eventually('the Event exists', async () => {
      const { body } = await cluster().request('GET', `/api/v1/namespaces/${namespace}/events`);
      return getItems(getField(body, 'items'))[0];
    });
    assert.equal(getField(event, 'reason'), 'PullTokenRefused');
    assert.match(
      String(getField(event, 'message')),
      /exceeded quota: few, requested: .*\): raise that quota/,
    );
    await config.close();
  });
});
