// Every way in which a real API server refuses a Secret, and that the error names who refused it.
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import type { ClusterConfig } from '../../src/kube/client.ts';
import { KubeError } from '../../src/kube/errors.ts';
import { createSecretApi, type SecretObject } from '../../src/kube/secrets.ts';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type Script, type ScriptedWebhook, startScriptedWebhook } from '../doubles/scripted-webhook.ts';
import { eventually } from '../support/eventually.ts';
import {
  bindPolicy,
  createAdmissionPolicy,
  createSecretQuota,
  registerRefusingWebhook,
} from '../support/secret-refusers.ts';
import { buildPullSecret, createConfig } from './secret-api-fixtures.ts';

const plantedPassword = 'Canary-5B1f7c';

/** What is checked of a refusal. `who` is in the message of the error, `short` is all of its short cause. */
interface Expected {
  readonly code: string;
  readonly status: number;
  readonly who: string;
  readonly short: string;
}

describeOnCluster('who refused a Secret, on a real API server', (cluster) => {
  let config: ClusterConfig;
  let webhook: ScriptedWebhook;
  const scripts = new Map<unknown, Script>();
  before(async () => {
    // The machine may be busy, and a webhook that does not respond takes its full timeout.
    config = createConfig(cluster().kubeconfigPath, 60_000);
    webhook = await startScriptedWebhook();
    webhook.script = (review, response) => scripts.get(review.request['namespace'])?.(review, response);
  });
  after(async () => {
    webhook.stop();
    await config.close();
  });

  const errorOfApply = async (
    namespace: string,
    changes: Partial<SecretObject> = {},
    by = config,
  ): Promise<KubeError | undefined> => {
    try {
      const secret = { ...buildPullSecret(namespace, plantedPassword), ...changes };
      await createSecretApi(by).apply(secret, { fieldManager: 'one', force: true });
      return undefined;
    } catch (error) {
      assert.ok(error instanceof KubeError);
      return error;
    }
  };
  const assertNamed = (error: KubeError, { code, status, who, short }: Expected): void => {
    assert.deepEqual([error.code, error.status, error.shortCause], [code, status, short], error.message);
    assert.ok(error.message.includes(who), error.message);
    const texts = [error.message, error.shortCause, error.stack, JSON.stringify(error)].join();
    for (const secret of [plantedPassword, btoa(`AWS:${plantedPassword}`), 'eyJhdXRocyI6']) {
      assert.ok(!texts.includes(secret), texts);
    }
  };
  /** Policies and quotas take effect some time after their creation. */
  const refused = async (namespace: string, expected: Expected): Promise<void> => {
    const error = await eventually('the write is refused', () => errorOfApply(namespace), 60_000);
    assertNamed(error, expected);
  };

  describe('an admission policy', () => {
    const deny = { expression: 'false', messageExpression: "string(object.data['.dockerconfigjson'])" };
    const cases: [name: string, spec: object, code: string, status: number][] = [
      ['need-owner', { validations: [deny] }, 'invalid', 422],
      ['reason-forbidden', { validations: [{ ...deny, reason: 'Forbidden' }] }, 'forbidden', 403],
      ['reason-large', { validations: [{ ...deny, reason: 'RequestEntityTooLarge' }] }, 'invalid', 413],
      ['fails', { validations: [{ expression: "object.metadata.annotations['a'] == 'b'" }] }, 'invalid', 422],
      [
        'condition-fails',
        {
          matchConditions: [{ name: 'a', expression: "object.metadata.annotations['a'] == 'b'" }],
          validations: [deny],
        },
        'invalid',
        422,
      ],
    ];
    for (const [name, spec, code, status] of cases) {
      it(`is named: ${name} (HTTP ${status})`, async () => {
        const namespace = await cluster().createNamespace('refuser');
        await createAdmissionPolicy(cluster(), 'Validating', name, spec);
        await bindPolicy(cluster(), 'Validating', name, namespace);
        const who = `ValidatingAdmissionPolicy '${name}' with binding '${name}' denied request): change that policy`;
        await refused(namespace, { code, status, who, short: `denied by policy "${name}"` });
      });
    }

    it('is named if it lacks its parameters', async () => {
      const namespace = await cluster().createNamespace('refuser');
      const paramKind = { apiVersion: 'v1', kind: 'ConfigMap' };
      const validations = [{ expression: "params.data['a'] == 'b'" }];
      await createAdmissionPolicy(cluster(), 'Validating', 'no-parameters', { paramKind, validations });
      const paramRef = { name: 'absent', namespace, parameterNotFoundAction: 'Deny' };
      await bindPolicy(cluster(), 'Validating', 'no-parameters', namespace, { paramRef });
      const who = "ValidatingAdmissionPolicy 'no-parameters' with binding 'no-parameters' denied request";
      const short = 'denied by policy "no-parameters"';
      await refused(namespace, { code: 'invalid', status: 422, who, short });
    });

    it('is named if it mutates and fails, if the version has such policies', async () => {
      if (Number(cluster().version.split('.')[1]) < 36) {
        const path = '/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies';
        assert.equal((await cluster().request('GET', path)).status, 404);
        return;
      }
      const namespace = await cluster().createNamespace('refuser');
      const expression = `[JSONPatch{op: 'add', path: '/metadata/labels/a', value: object.metadata.annotations['a']}]`;
      const mutations = [{ patchType: 'JSONPatch', jsonPatch: { expression } }];
      await createAdmissionPolicy(cluster(), 'Mutating', 'mutator', {
        reinvocationPolicy: 'Never',
        mutations,
      });
      await bindPolicy(cluster(), 'Mutating', 'mutator', namespace);
      const who = "policy 'mutator' with binding 'mutator' denied request): change that policy";
      await refused(namespace, { code: 'forbidden', status: 403, who, short: 'denied by policy "mutator"' });
    });
  });

  describe('a webhook that denies', () => {
    const message = `every Secret needs an owner: ${plantedPassword}\n${btoa(`AWS:${plantedPassword}`)}`;
    const causes = [
      { reason: 'FieldValueRequired', field: 'metadata.labels[owner]', message: plantedPassword },
      { reason: plantedPassword, field: `data[${plantedPassword}]`, message: plantedPassword },
    ];
    /** HTTP status → code of a response without a reason, as webhooks usually send. */
    const codes = {
      400: 'invalid',
      401: 'forbidden',
      403: 'forbidden',
      404: 'forbidden',
      409: 'forbidden',
      413: 'invalid',
      422: 'invalid',
      429: 'forbidden',
      500: 'server-error',
      504: 'timeout',
    };
    for (const kind of ['Validating', 'Mutating'] as const) {
      for (const [status, code] of Object.entries(codes)) {
        it(`is named, with the fields: ${kind}, HTTP ${status}`, async () => {
          const namespace = await cluster().createNamespace('refuser');
          const details = { causes };
          scripts.set(namespace, () => ({
            allowed: false,
            status: { code: Number(status), message, details },
          }));
          const name = `validate-${status}.kyverno.svc-fail`;
          await registerRefusingWebhook(cluster(), kind, name, namespace, webhook);
          const who = `admission webhook "${name}" denied the request, field metadata.labels[owner] (FieldValueRequired))`;
          await refused(namespace, {
            code,
            status: Number(status),
            who,
            short: `denied by webhook "${name}"`,
          });
        });
      }
    }

    const silent: [string, Record<string, unknown>][] = [
      ['no status', {}],
      ['a message only', { status: { message } }],
      ['a reason only', { status: { reason: plantedPassword } }],
      ['status 200', { status: { code: 200, message } }],
    ];
    for (const [what, response] of silent) {
      it(`is named if it responds with ${what}`, async () => {
        const namespace = await cluster().createNamespace('refuser');
        scripts.set(namespace, () => ({ allowed: false, ...response }));
        await registerRefusingWebhook(cluster(), 'Validating', 'silent.example.com', namespace, webhook);
        const who = 'admission webhook "silent.example.com" denied the request): change the policy';
        const short = 'denied by webhook "silent.example.com"';
        await refused(namespace, { code: 'invalid', status: 400, who, short });
      });
    }
  });

  describe('a webhook that fails', () => {
    const scripted: [string, Script, string][] = [
      ['does not answer', () => undefined, ' (timed out)'],
      [
        'answers HTTP 500',
        (_, response) => {
          response.statusCode = 500;
          response.end(`cannot parse ${plantedPassword}`);
          return undefined;
        },
        '',
      ],
      [
        'answers something else',
        (_, response) => {
          response.end(plantedPassword);
          return undefined;
        },
        '',
      ],
    ];
    for (const [what, script, cause] of scripted) {
      it(`is named: it ${what}`, async () => {
        const namespace = await cluster().createNamespace('refuser');
        scripts.set(namespace, script);
        await registerRefusingWebhook(cluster(), 'Validating', 'broken.example.com', namespace, webhook);
        const who = `failed calling webhook "broken.example.com"${cause}): check that webhook`;
        const short = 'webhook failed: "broken.example.com"';
        await refused(namespace, { code: 'server-error', status: 500, who, short });
      });
    }

    const unreachable: [string, object, string][] = [
      ['is down', { url: 'https://127.0.0.1:1/validate' }, ' (connection refused)'],
      [
        'has no Service',
        { service: { namespace: 'kyverno', name: 'kyverno-svc' } },
        ' (its Service does not exist)',
      ],
    ];
    for (const [what, clientConfig, cause] of unreachable) {
      it(`is named: it ${what}`, async () => {
        const namespace = await cluster().createNamespace('refuser');
        await registerRefusingWebhook(cluster(), 'Mutating', 'down.example.com', namespace, webhook, {
          clientConfig,
        });
        const who = `failed calling webhook "down.example.com"${cause}): check that webhook`;
        const short = 'webhook failed: "down.example.com"';
        await refused(namespace, { code: 'server-error', status: 500, who, short });
      });
    }

    it('is named: its certificate is of another CA', async () => {
      const namespace = await cluster().createNamespace('refuser');
      const clientConfig = { url: webhook.url };
      await registerRefusingWebhook(cluster(), 'Validating', 'ca.example.com', namespace, webhook, {
        clientConfig,
      });
      const who = 'failed calling webhook "ca.example.com" (its certificate cannot be verified)';
      await refused(namespace, {
        code: 'server-error',
        status: 500,
        who,
        short: 'webhook failed: "ca.example.com"',
      });
    });

    it('is described if the API server does not name it: a match condition, a patch', async () => {
      const namespace = await cluster().createNamespace('refuser');
      const matchConditions = [{ name: 'a', expression: "object.metadata.annotations['a'] == 'b'" }];
      await registerRefusingWebhook(cluster(), 'Validating', 'condition.example.com', namespace, webhook, {
        matchConditions,
      });
      await refused(namespace, {
        code: 'forbidden',
        status: 403,
        who: 'a match condition of an admission webhook failed',
        short: 'a match condition of a webhook failed',
      });
      const another = await cluster().createNamespace('refuser');
      const patch = btoa(JSON.stringify([{ op: 'remove', path: `/${plantedPassword}` }]));
      scripts.set(another, () => ({ allowed: true, patchType: 'JSONPatch', patch }));
      await registerRefusingWebhook(cluster(), 'Mutating', 'patch.example.com', another, webhook);
      await refused(another, {
        code: 'server-error',
        status: 500,
        who: 'the patch of a mutating webhook does not apply',
        short: 'the patch of a mutating webhook does not apply',
      });
    });
  });

  it('a quota is named', async () => {
    const namespace = await cluster().createNamespace('refuser');
    await createSecretQuota(cluster(), namespace, 'few');
    const who =
      'exceeded quota: few, requested: count/secrets=1, used: count/secrets=0, limited: count/secrets=0';
    await refused(namespace, { code: 'forbidden', status: 403, who, short: 'exceeded quota "few"' });
  });

  it('a missing permission is named', async () => {
    const namespace = await cluster().createNamespace('refuser');
    const weak = createConfig(await cluster().serviceAccountKubeconfig(namespace, 'weak'), 60_000);
    const error = await errorOfApply(namespace, {}, weak);
    await weak.close();
    assert.ok(error);
    const who = `User "system:serviceaccount:${namespace}:weak" cannot patch resource "secrets" in API group "" in the namespace "${namespace}"`;
    assertNamed(error, { code: 'forbidden', status: 403, who, short: 'no permission to patch secrets' });
  });

  it('an immutable Secret is described, with what to do about it', async () => {
    const namespace = await cluster().createNamespace('refuser');
    const { metadata, ...rest } = buildPullSecret(namespace, plantedPassword);
    const path = `/api/v1/namespaces/${namespace}/secrets`;
    const data = { '.dockerconfigjson': btoa('{"auths":{}}') };
    await cluster().request('POST', path, { metadata, ...rest, data, immutable: true });
    const error = await errorOfApply(namespace);
    assert.ok(error);
    const who = 'the Secret is immutable, field data (FieldValueForbidden)): delete the Secret';
    assertNamed(error, { code: 'invalid', status: 422, who, short: 'Secret is immutable; delete it' });
  });

  it('the field of invalid content is named', async () => {
    const namespace = await cluster().createNamespace('refuser');
    const error = await errorOfApply(namespace, {
      data: { '.dockerconfigjson': btoa(`{ ${plantedPassword}`) },
    });
    assert.ok(error);
    const field = 'field data[.dockerconfigjson] (FieldValueInvalid)';
    assertNamed(error, { code: 'invalid', status: 422, who: field, short: `invalid ${field}` });
  });
});
