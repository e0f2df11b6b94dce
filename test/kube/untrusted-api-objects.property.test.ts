// Tests that any response of the API server is parsed without a throw.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { parseStatus } from '../../src/kube/api-status.ts';
import { createStatusError, KubeError, toKubeError } from '../../src/kube/errors.ts';
import { parseFieldOwners } from '../../src/kube/field-managers.ts';
import { parseSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { parseSecret } from '../../src/kube/secrets.ts';
import { parseServiceAccount } from '../../src/kube/service-accounts.ts';
import { parseWebhookConfiguration } from '../../src/kube/webhook-configurations.ts';
import { damaged, hostileJson } from '../support/untrusted-json.ts';

const runs = { numRuns: 500 };

const metadata = {
  namespace: 'team-a',
  name: 'ecr-pull-secrets',
  uid: 'u',
  resourceVersion: '5',
  labels: { a: 'b' },
  annotations: { c: 'd' },
  managedFields: [
    {
      manager: 'kubectl',
      fieldsV1: { 'f:data': { 'f:x': {} }, 'f:metadata': { 'f:annotations': { 'f:y': {} } } },
    },
  ],
};

const isText = (value: unknown) => typeof value === 'string';
const areTexts = (value: object = {}) => Object.values(value).every(isText);

describe('any response of the API server', () => {
  it('is parsed as metadata of a Secret or undefined', () => {
    const check = (object: unknown) => {
      const item = parseSecretMetadata(object);
      assert.ok(item === undefined || (areTexts(item.labels) && areTexts(item.annotations)));
      assert.ok(item === undefined || [item.namespace, item.uid, item.resourceVersion].every(isText));
    };
    fc.assert(fc.property(damaged({ metadata }), check), runs);
  });

  it('is parsed as a Secret whose values are strings, or undefined', () => {
    const check = (object: unknown) => {
      const secret = parseSecret(object);
      if (secret !== undefined) {
        const { labels, annotations, namespace, name } = secret.metadata;
        assert.ok([secret.data, labels, annotations].every(areTexts) && [namespace, name].every(isText));
        assert.ok(secret.type === undefined || isText(secret.type));
      }
    };
    const valid = { metadata, type: 'Opaque', data: { a: 'YQ==' } };
    for (const data of [{ a: 1 }, { a: { toString: 1 } }, { a: null }, [], 'x']) {
      check({ ...valid, data });
    }
    fc.assert(fc.property(damaged(valid), check), runs);
  });

  it('is parsed as a ServiceAccount or undefined', () => {
    const check = (object: unknown) => {
      const account = parseServiceAccount(object);
      assert.ok(account === undefined || account.imagePullSecrets.every(isText));
    };
    fc.assert(fc.property(damaged({ metadata, imagePullSecrets: [{ name: 'a' }, {}] }), check), runs);
  });

  it('is parsed as a webhook configuration whose caBundles are strings', () => {
    const check = (object: unknown) => {
      const { resourceVersion, caBundles } = parseWebhookConfiguration('zz', object);
      assert.ok(isText(resourceVersion) && caBundles.every(isText));
    };
    const valid = { metadata, webhooks: [{ name: 'a', clientConfig: { caBundle: 'YQ==' } }, {}] };
    check({ webhooks: [{ clientConfig: { caBundle: 7 } }, null] });
    fc.assert(fc.property(damaged(valid), check), runs);
  });

  it('is parsed as field owners whose keys are strings', () => {
    const check = (managedFields: unknown) => {
      for (const { manager, data, annotations } of parseFieldOwners(managedFields)) {
        assert.ok([manager, ...data, ...annotations].every(isText));
      }
    };
    fc.assert(fc.property(damaged(metadata.managedFields), check), runs);
  });

  it('is parsed as a Status whose fields are strings, and results in an error', () => {
    const check = (body: unknown, httpStatus: unknown) => {
      for (const { reason, field } of parseStatus(body).causes) {
        assert.ok(isText(reason) && isText(field));
      }
      parseStatus(JSON.stringify(body));
      const code = typeof httpStatus === 'number' ? httpStatus : 403;
      assert.ok(createStatusError(code, body, 'test') instanceof KubeError);
    };
    const status = {
      kind: 'Status',
      message: 'secrets is forbidden: User "a" cannot list resource "secrets"',
      details: { causes: [{ reason: 'NamespaceTerminating', field: 'metadata.uid' }] },
      code: 403,
    };
    const broken = { toString: 1, valueOf: 1 };
    check({ ...status, details: { causes: [{ reason: broken, field: broken }] } }, 403);
    fc.assert(fc.property(damaged(status), hostileJson(), check), runs);
  });

  it('is converted to a KubeError', () => {
    const cyclic = new Error('cyclic');
    cyclic.cause = cyclic;
    assert.ok(toKubeError(cyclic, 'test') instanceof KubeError);
    fc.assert(
      fc.property(hostileJson(['code', 'cause', 'name', 'message']), (thrown) => {
        const error = Object.assign(new Error('x'), typeof thrown === 'object' ? thrown : {});
        assert.ok(toKubeError(thrown, 'test') instanceof KubeError);
        assert.ok(toKubeError(error, 'test') instanceof KubeError);
      }),
      runs,
    );
  });
});
