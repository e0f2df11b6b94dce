// How stored tokens of hosts that are no longer configured are parsed, kept and dropped.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { createRegistryResolver } from '../../src/ecr/registry.ts';
import { hostsAnnotation } from '../../src/labels.ts';
import { formatHosts, maxParsedHosts, parseAnnotation } from '../../src/pull-secrets/hosts-annotation.ts';
import { mergeContent, omitHosts, readContent } from '../../src/pull-secrets/merge.ts';
import { createManifest } from '../../src/pull-secrets/ownership.ts';
import { allow } from '../support/identities.ts';
import { resolveRegistry } from '../support/registries.ts';
import { fakeToken, hourMs } from './pull-secret-fixtures.ts';

const now = Date.UTC(2026, 10, 23, 12);
const lifetime = { issuedAt: now - hourMs, expiresAt: now + hourMs };
const host = 'registry.example.com';
const real = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';
const ownEntry = JSON.stringify({ auth: fakeToken('password', now).auth() });
const rulesAt = (at: number) => ({
  maxHosts: 250,
  shouldReplace: () => true,
  identityOf: () => allow(),
  now: () => at,
});

function read(entry: string, annotated: object = { [host]: lifetime }) {
  const times = Object.fromEntries(
    Object.entries(annotated).map(([name, { issuedAt, expiresAt }]) => [
      name,
      { issuedAt: new Date(issuedAt).toISOString(), expiresAt: new Date(expiresAt).toISOString() },
    ]),
  );
  return readContent(`{"auths":{"${host}":${entry}}}`, JSON.stringify(times), resolveRegistry).content;
}

describe('a host that is no longer configured', () => {
  it('keeps its entry until the token expires, and then leaves with it', () => {
    const content = read(ownEntry);
    assert.deepEqual([content.hosts.size, content.unconfigured?.get(host)], [0, lifetime]);
    const valid = mergeContent('team', content, new Map(), rulesAt(lifetime.expiresAt - 1));
    assert.deepEqual(
      [valid.content.auths, valid.content.unconfigured],
      [content.auths, content.unconfigured],
    );
    assert.deepEqual(valid.expired, []);
    const expired = mergeContent('team', content, new Map(), rulesAt(lifetime.expiresAt));
    assert.deepEqual([expired.content.auths.size, expired.content.unconfigured?.size], [0, 0]);
    assert.deepEqual(expired.expired, [host]);
  });

  it('keeps an entry that another writer added, at any time', () => {
    for (const entry of [
      '{"auth":"dTpw"}',
      '{"username":"u","password":"p"}',
      ownEntry.replace('{', '{"email":"e",'),
    ]) {
      const content = read(entry);
      assert.equal(content.unconfigured?.size, 0);
      const { content: merged } = mergeContent('team', content, new Map(), rulesAt(now + 24 * hourMs));
      assert.equal(merged.auths.get(host), entry);
    }
  });

  it('keeps an entry that the annotation does not name', () => {
    const content = read(ownEntry, {});
    const { content: merged } = mergeContent('team', content, new Map(), rulesAt(now + 24 * hourMs));
    assert.equal(merged.auths.get(host), ownEntry);
  });

  it('stays in the annotation with its lifetime, and is renewed if it is configured again', () => {
    const { content } = mergeContent(
      'team',
      read(ownEntry),
      new Map([[real, fakeToken('x', now)]]),
      rulesAt(now),
    );
    const annotation = createManifest(content).annotations[hostsAnnotation];
    assert.deepEqual(parseAnnotation(annotation, resolveRegistry).unconfigured, new Map([[host, lifetime]]));
    const resolveAgain = createRegistryResolver({
      hosts: { [host]: { account: '123456789012', region: 'eu-central-1' } },
    });
    assert.deepEqual(parseAnnotation(annotation, resolveAgain).hosts.get(host), lifetime);
  });

  it('can be removed', () => {
    const { auths, unconfigured } = omitHosts(read(ownEntry), new Set([host]));
    assert.deepEqual([auths.size, unconfigured?.size], [0, 0]);
  });

  it('is none if the name is no host name, or the times are malformed', () => {
    const names = ['', 'x', 'docker.io', 'a b.example', `${'a'.repeat(130)}.example`, 'Example.com'];
    const annotation = JSON.stringify({
      ...Object.fromEntries(
        names.map((name) => [name, { issuedAt: '2026-01-01T00:00:00Z', expiresAt: '2026-01-02T00:00:00Z' }]),
      ),
      'a.example': null,
      'b.example': { requestedAt: '2026-01-01T00:00:00Z' },
    });
    assert.equal(parseAnnotation(annotation, resolveRegistry).unconfigured.size, 0);
  });

  it('displaces no other host, however many there are', () => {
    const many = Array.from(
      { length: maxParsedHosts },
      (_, index) => [`a${index}.example`, lifetime] as const,
    );
    const hosts = new Map([...many.slice(0, 100), [real, lifetime] as const]);
    assert.deepEqual([...parseAnnotation(formatHosts(hosts), resolveRegistry).hosts.keys()], [real]);
    const content = {
      hosts: new Map([[real, lifetime]]),
      requestedAt: new Map(),
      auths: new Map(),
      unconfigured: new Map(many),
    };
    const annotation = createManifest(content).annotations[hostsAnnotation];
    const again = parseAnnotation(annotation, resolveRegistry);
    assert.deepEqual([[...again.hosts.keys()], again.unconfigured.size], [[real], maxParsedHosts - 1]);
  });
});
