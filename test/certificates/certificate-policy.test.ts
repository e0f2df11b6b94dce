// Tests each step of the rotation: which state of the Secret and the caBundle leads to it, and when.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { canServe, planNextStep } from '../../src/certificates/certificate-policy.ts';
import type {
  CaFacts,
  PublishedState,
  ServingCertificateFacts,
  StoredCertificateFacts,
} from '../../src/certificates/certificate-state.ts';
import {
  caLifetimeMs,
  createCa,
  createServingCertificate,
  createStoredState,
  rules,
  secondMs,
} from './certificate-policy-model.ts';

const now = 5_000_000 * secondMs;
const ca = createCa(now - 1_000 * secondMs);
const servingCertificate = createServingCertificate(ca, now - 100 * secondMs);
const good = createStoredState([ca], servingCertificate);

/** A bundle in which these CAs have been published long enough. */
function published(...caCertificates: readonly CaFacts[]): PublishedState {
  const ids = caCertificates.map(({ id }) => id);
  return { bundles: [{ ids, isMalformed: false }], forMs: new Map(ids.map((id) => [id, 1e9])) };
}

function stepFor(
  stored: StoredCertificateFacts | 'none' | 'unmanaged',
  situation: {
    published?: PublishedState;
    at?: number;
    otherCaCertificates?: readonly CaFacts[];
    served?: ServingCertificateFacts;
  } = {},
) {
  const all = typeof stored === 'object' ? stored.caCertificates : [];
  const { published: bundles = published(...all), at = now, otherCaCertificates = [], served } = situation;
  return planNextStep({ stored, published: bundles, otherCaCertificates, served, now: at }, rules);
}

function reasonFor(...args: Parameters<typeof stepFor>): string {
  const { step } = stepFor(...args);
  return `${step.action}: ${step.reason}`;
}

describe('a valid certificate in memory', () => {
  const trusted = { published: published(ca), otherCaCertificates: [ca], served: servingCertificate };
  it('is restored together with a new CA if the Secret or its CA is lost', () => {
    assert.equal(reasonFor('none', trusted), 'issue-ca-and-restore-certificate: no-secret');
    assert.equal(
      reasonFor(createStoredState([], undefined), trusted),
      'issue-ca-and-restore-certificate: ca-missing',
    );
  });
  it('is restored if only the certificate is lost', () => {
    assert.equal(
      reasonFor(createStoredState([ca], undefined), trusted),
      'restore-certificate: serving-certificate-missing',
    );
  });
  it('is not restored if its CA is unknown or it has expired', () => {
    const unknown = { ...trusted, otherCaCertificates: [], published: published() };
    assert.equal(reasonFor('none', unknown), 'create: no-secret');
    const late = { ...trusted, at: servingCertificate.expiresAt + secondMs };
    assert.equal(reasonFor('none', late), 'create: no-secret');
    assert.equal(
      reasonFor(createStoredState([ca], undefined), late),
      'reissue-certificate: serving-certificate-missing',
    );
  });
});

describe('the step for a Secret', () => {
  const expired = createCa(now - 2 * caLifetimeMs);
  const future = createCa(now + 1_000 * secondMs);
  const other = createCa(now - 2_000 * secondMs);
  const cases: [string, StoredCertificateFacts | 'none' | 'unmanaged', string][] = [
    ['that is valid', good, 'none: up-to-date'],
    ['that does not exist', 'none', 'create: no-secret'],
    ['that is unmanaged', 'unmanaged', 'none: unmanaged-secret'],
    ['that is empty', createStoredState([], undefined), 'create: ca-missing'],
    [
      'without the CA of a valid certificate',
      createStoredState([], servingCertificate),
      'create: ca-missing',
    ],
    [
      'whose CA has no key, with a valid certificate',
      { ...good, caProblem: 'ca-key-invalid' },
      'issue-ca: ca-key-invalid',
    ],
    [
      'whose CA has expired',
      createStoredState([expired], createServingCertificate(expired, now - secondMs)),
      'create: ca-expired',
    ],
    ['whose CA is not yet valid', createStoredState([future], undefined), 'create: ca-not-yet-valid'],
    [
      'without a certificate',
      createStoredState([ca], undefined),
      'reissue-certificate: serving-certificate-missing',
    ],
    [
      'with the certificate of another CA',
      createStoredState([ca], createServingCertificate(other, now)),
      'reissue-certificate: serving-certificate-unknown-ca',
    ],
    [
      'whose certificate has expired',
      createStoredState([ca], createServingCertificate(ca, now - 700 * secondMs)),
      'reissue-certificate: serving-certificate-expired',
    ],
    [
      'whose certificate lacks a name',
      createStoredState([ca], { ...servingCertificate, missingNames: ['a'] }),
      'reissue-certificate: serving-certificate-names-missing',
    ],
    [
      'whose certificate is due',
      createStoredState([ca], createServingCertificate(ca, now - 401 * secondMs)),
      'reissue-certificate: serving-certificate-due',
    ],
    [
      'whose certificate is not yet due',
      createStoredState([ca], createServingCertificate(ca, now - 399 * secondMs)),
      'none: up-to-date',
    ],
  ];
  for (const [what, stored, expected] of cases) {
    it(`${what}: ${expected}`, () => assert.equal(reasonFor(stored), expected));
  }

  it('keeps the CAs in use beside a new one, but not expired or too many', () => {
    const { step } = stepFor('none', { otherCaCertificates: [ca, expired, ca, other] });
    assert.deepEqual('keep' in step && step.keep, [ca.id, other.id]);
    const many = Array.from({ length: 9 }, () => createCa(now));
    const flooded = stepFor('none', { otherCaCertificates: many }).step;
    assert.equal('keep' in flooded && flooded.keep.length, 8);
  });
});

describe('the step for a caBundle', () => {
  const other = createCa(now);
  const bundle = (ids: readonly string[], isMalformed = false): PublishedState => ({
    bundles: [
      { ids: [ca.id], isMalformed: false },
      { ids, isMalformed },
    ],
    forMs: new Map(),
  });
  const cases: [string, PublishedState, string][] = [
    ['that is empty', bundle([]), 'publish-ca-bundle: bundle-empty'],
    ['that is malformed', bundle([], true), 'publish-ca-bundle: bundle-malformed'],
    ['with other data beside the CA', bundle([ca.id], true), 'publish-ca-bundle: bundle-malformed'],
    ['of another CA', bundle([other.id]), 'publish-ca-bundle: bundle-ca-missing'],
    ['with an extra CA', bundle([ca.id, other.id]), 'publish-ca-bundle: bundle-extra-ca'],
    ['that is up to date', bundle([ca.id]), 'none: up-to-date'],
    ['without a webhook configuration', 'no-webhook', 'none: up-to-date'],
    ['that cannot be read', 'unknown', 'none: up-to-date'],
  ];
  for (const [what, seen, expected] of cases) {
    it(`${what}: ${expected}`, () => assert.equal(reasonFor(good, { published: seen }), expected));
  }
});

describe('a CA rotation', () => {
  const at = ca.issuedAt + (caLifetimeMs * 2) / 3;
  const old = createServingCertificate(ca, at - 100 * secondMs);
  const newest = createCa(at);
  const both = createStoredState([newest, ca], old);
  const afterMs = (ms: number): PublishedState => ({
    bundles: [{ ids: [newest.id, ca.id], isMalformed: false }],
    forMs: new Map([
      [ca.id, 1e9],
      [newest.id, ms],
    ]),
  });

  it('starts after two thirds of the lifetime, with both CAs in the bundle', () => {
    assert.equal(reasonFor(createStoredState([ca], old), { at: at - 1 }), 'none: up-to-date');
    const { step } = stepFor(createStoredState([ca], old), { at });
    assert.deepEqual(step, { action: 'issue-ca', reason: 'ca-due', keep: [ca.id] });
  });

  it('does not start if the webhook configuration cannot be read', () => {
    assert.equal(reasonFor(createStoredState([ca], old), { at, published: 'unknown' }), 'none: up-to-date');
  });

  it('publishes both CAs first', () => {
    assert.equal(reasonFor(both, { at, published: published(ca) }), 'publish-ca-bundle: bundle-ca-missing');
  });

  it('keeps the certificate until all API servers trust the new CA, and returns the time of the next check', () => {
    const { step, recheckAt } = stepFor(both, { at, published: afterMs(rules.apiServerPropagationMs - 1) });
    assert.deepEqual([step.action, recheckAt], ['none', at + 1]);
    const later = reasonFor(both, { at, published: afterMs(rules.apiServerPropagationMs) });
    assert.equal(later, 'reissue-certificate: ca-changed');
  });

  it('keeps the old CA until its last certificate has expired', () => {
    const changed = createStoredState([newest, ca], createServingCertificate(newest, at + 400 * secondMs));
    const dropAt = newest.issuedAt + rules.certificateLifetimeMs;
    assert.equal(stepFor(changed, { at: dropAt - 1 }).recheckAt, dropAt);
    assert.equal(reasonFor(changed, { at: dropAt - 1 }), 'none: up-to-date');
    assert.equal(reasonFor(changed, { at: dropAt }), 'remove-old-ca: old-ca-unused');
  });

  it('gives every replica time to switch to a late certificate', () => {
    const late = createServingCertificate(newest, newest.issuedAt + 900 * secondMs);
    const changed = createStoredState([newest, ca], late);
    const dropAt = late.issuedAt + 2 * rules.apiServerPropagationMs;
    assert.equal(reasonFor(changed, { at: dropAt - 1 }), 'none: up-to-date');
    assert.equal(reasonFor(changed, { at: dropAt }), 'remove-old-ca: old-ca-unused');
  });
});

describe('a stored certificate is served', () => {
  const newest = createCa(now);
  const next = createServingCertificate(newest, now);
  const may = (current: ServingCertificateFacts | undefined, seen: PublishedState, candidate = next) =>
    canServe(current, candidate, { published: seen, now }, rules);
  const forMs = (ms: number): PublishedState => ({
    bundles: [],
    forMs: new Map([
      [ca.id, 1e9],
      [newest.id, ms],
    ]),
  });

  it('if there is no other, or the current one has expired', () => {
    assert.equal(may(undefined, forMs(0)), true);
    assert.equal(may(createServingCertificate(ca, now - 700 * secondMs), forMs(0)), true);
  });

  it('with a new CA only after all API servers trust it', () => {
    assert.equal(may(servingCertificate, forMs(rules.apiServerPropagationMs - 1)), false);
    assert.equal(may(servingCertificate, forMs(rules.apiServerPropagationMs)), true);
    assert.equal(may(servingCertificate, published(ca)), false);
    assert.equal(may(servingCertificate, 'unknown'), false);
  });

  it('with a new CA immediately if the old CA is not published any more', () => {
    assert.equal(may(servingCertificate, { bundles: [], forMs: new Map([[newest.id, 0]]) }), true);
  });

  it('with the same CA in any case', () => {
    assert.equal(may(servingCertificate, 'unknown', createServingCertificate(ca, now)), true);
  });

  it('never if it is not valid or not signed by a stored CA', () => {
    assert.equal(may(undefined, 'no-webhook', createServingCertificate(newest, now - 700 * secondMs)), false);
    assert.equal(may(undefined, 'no-webhook', createServingCertificate(undefined, now)), false);
  });
});
