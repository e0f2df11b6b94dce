// Tests that no content of a pull Secret makes the parsers or the cache throw.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { defaultDecision } from '../../src/ecr/identity.ts';
import { parseSecretMetadata } from '../../src/kube/secret-metadata.ts';
import { hostsAnnotation, managedByLabel, productName } from '../../src/labels.ts';
import { createTokenRules } from '../../src/pull-secrets/host-needs.ts';
import { formatHosts, parseAnnotation } from '../../src/pull-secrets/hosts-annotation.ts';
import { formatDockerConfig, mergeContent, readContent } from '../../src/pull-secrets/merge.ts';
import { SecretCache } from '../../src/pull-secrets/secret-cache.ts';
import { resolveRegistry } from '../support/registries.ts';
import { damaged, hostileJson } from '../support/untrusted-json.ts';
import { fakeToken, hourMs } from './pull-secret-fixtures.ts';

const parseHosts = (text: string | undefined) => parseAnnotation(text, resolveRegistry).hosts;

const now = Date.UTC(2026, 10, 23, 12);
const host = '123456789012.dkr.ecr.us-east-1.amazonaws.com';
const lifetime = { issuedAt: '2026-11-23T12:00:00Z', expiresAt: '2026-11-24T00:00:00Z' };
const rules = createTokenRules({
  freshness: { fraction: 0.5, floorMs: hourMs },
  maxHosts: 200,
  identityOf: () => defaultDecision,
  now: () => now,
});

/** Annotations of past bugs that a tenant could write to stop the program. */
const pastAnnotations = [
  `{"${host}":{"issuedAt":{"toString":1,"valueOf":1}}}`,
  `{"${host}":{"issuedAt":{"toString":null},"expiresAt":[[]]}}`,
  `{"${host}":{"issuedAt":-1e308,"expiresAt":1e308}}`,
  `{"${host}":{"issuedAt":"-271821-04-20T00:00:00Z","expiresAt":"+275760-09-13T00:00:00Z"}}`,
  `{"${host}":${'['.repeat(100_000)}${']'.repeat(100_000)}}`,
  '{"__proto__":{"issuedAt":1}}',
];

const annotation = fc.oneof(
  damaged({ [host]: lifetime, 'evil.example': null }).map((value) => JSON.stringify(value)),
  fc.string(),
  fc.constant(undefined),
);

const dockerConfig = fc.oneof(
  damaged({
    auths: { [host]: { auth: btoa('AWS:x') }, 'registry.example': { username: 'u', password: 'p' } },
  }).map((value) => JSON.stringify(value)),
  fc.string(),
  fc.constant(undefined),
);

describe('untrusted content of a pull Secret', () => {
  it('never makes parseHosts throw, and the result can be formatted again', () => {
    const check = (text: string | undefined) => {
      const hosts = parseHosts(text);
      for (const one of hosts.values()) {
        assert.ok(one === undefined || one.issuedAt < one.expiresAt);
      }
      assert.deepEqual([...parseHosts(formatHosts(hosts)).keys()].sort(), [...hosts.keys()].sort());
    };
    pastAnnotations.forEach(check);
    fc.assert(fc.property(annotation, check), { numRuns: 500 });
  });

  it('never makes readContent throw, and can be merged and formatted again', () => {
    const check = (json: string | undefined, text: string | undefined) => {
      const { content } = readContent(json, text, resolveRegistry);
      const desired = new Map([[host, fakeToken('x', now)]]);
      const merged = mergeContent('team-a', content, desired, rules).content;
      assert.ok(merged.auths.has(host));
      formatHosts(merged.hosts);
      JSON.parse(formatDockerConfig(merged.auths));
    };
    const deep = `${'['.repeat(100_000)}${']'.repeat(100_000)}`;
    for (const text of pastAnnotations) {
      check('{"auths":{}}', text);
    }
    check(`{"auths":{"registry.example":{"extra":${deep}}}}`, undefined);
    check('{"auths":{"__proto__":{"auth":"eDp5"}}}', undefined);
    fc.assert(fc.property(dockerConfig, annotation, check), { numRuns: 500 });
  });

  it('never makes the Secret cache throw', () => {
    const valid = {
      metadata: {
        namespace: 'team-a',
        name: 'ecr-pull-secrets',
        uid: 'u',
        resourceVersion: '5',
        labels: { [managedByLabel]: productName },
        annotations: { [hostsAnnotation]: `{"${host}":null}` },
        managedFields: [
          { manager: productName, fieldsV1: { 'f:data': { 'f:.dockerconfigjson': {} }, 'f:metadata': {} } },
        ],
      },
    };
    const check = (object: unknown, text: string | undefined) => {
      const secretCache = new SecretCache(resolveRegistry);
      const item = parseSecretMetadata(object);
      if (item !== undefined) {
        secretCache.set(item);
        secretCache.set({ ...item, resourceVersion: '6', annotations: { [hostsAnnotation]: text ?? '' } });
        secretCache.replace([item]);
        secretCache.remove(item.namespace, '7');
      }
    };
    for (const text of pastAnnotations) {
      check(valid, text);
    }
    fc.assert(fc.property(damaged(valid), annotation, check), { numRuns: 500 });
  });

  it('never makes parseHosts throw if it is not an object', () => {
    fc.assert(
      fc.property(hostileJson([host, 'issuedAt', 'expiresAt', 'identity']), (value) => {
        parseHosts(JSON.stringify(value));
      }),
      { numRuns: 500 },
    );
  });
});
