// Tests on random histories that replicas never serve a certificate that an API server does not trust.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { StoredCertificateFacts } from '../../src/certificates/certificate-state.ts';
import {
  caLifetimeMs,
  createCa,
  createModelReplica,
  createServingCertificate,
  createStoredState,
  type ModelReplica,
  PolicyModel,
  rules,
  secondMs,
} from './certificate-policy-model.ts';

/** Interval at which a replica reconciles without events, and the maximum lag of an API server. */
const lagMs = rules.apiServerPropagationMs / 2;
const tickMs = 5 * secondMs;

type Chance = (max: number) => number;

/** Returns numbers from 0 to `max`, taken from a list one after the other. */
function chanceOf(numbers: readonly number[]): Chance {
  let at = 0;
  return (max) => {
    at = (at + 1) % numbers.length;
    return (numbers[at] ?? 0) % (max + 1);
  };
}

// Shrinking a run of that many steps takes very long and does not make it clearer.
const numbers = fc.noShrink(fc.array(fc.nat(1_000_000), { minLength: 500, maxLength: 500 }));

function assertValidState(model: PolicyModel): void {
  const { stored, now } = model;
  assert.ok(stored !== 'none' && stored.servingCertificate !== undefined);
  const [newest] = stored.caCertificates;
  assert.ok(newest !== undefined && stored.caProblem === undefined);
  assert.ok(newest.validFrom <= now && now <= newest.expiresAt, 'the CA is valid');
  assert.ok(
    stored.servingCertificate.validFrom <= now && now <= stored.servingCertificate.expiresAt,
    'the certificate is valid',
  );
  assert.ok(model.bundle.includes(stored.servingCertificate.issuerId ?? ''), 'its CA is published');
}

/** Lets time pass. In each tick, every replica may execute some steps, in any order. */
function simulate(
  model: PolicyModel,
  replicas: readonly ModelReplica[],
  ms: number,
  chance: Chance,
  check = () => {},
) {
  const reconciledAt = new Map(replicas.map((replica) => [replica, model.now]));
  for (const end = model.now + ms; model.now < end; model.now += tickMs) {
    for (let turn = chance(4); turn >= 0; turn -= 1) {
      const replica = replicas[chance(replicas.length - 1)];
      if (replica === undefined) {
        continue;
      }
      model.reconcile(replica);
      reconciledAt.set(replica, model.now);
      check();
    }
    for (const replica of replicas) {
      if (model.now - (reconciledAt.get(replica) ?? 0) < lagMs) {
        continue;
      }
      model.reconcile(replica);
      reconciledAt.set(replica, model.now);
    }
    check();
  }
}

/** Asserts that every API server, even with lag, trusts what the replicas serve. */
function assertServed(model: PolicyModel, replicas: readonly ModelReplica[]): void {
  for (const { current } of replicas) {
    assert.ok(current !== undefined && model.now <= current.expiresAt, 'what is served is valid');
    for (const bundle of [model.bundle, model.getBundleBefore(lagMs)]) {
      assert.ok(bundle.includes(current.issuerId ?? ''), 'its CA is published');
    }
  }
}

/** Any state of the Secret. */
const anyStored = fc
  .record({
    ages: fc.array(fc.integer({ min: -2 * caLifetimeMs, max: 2 * caLifetimeMs }), { maxLength: 3 }),
    problem: fc.constantFrom(undefined, 'ca-key-invalid' as const, 'ca-key-mismatch' as const),
    issuerIndex: fc.nat(3),
    servingAge: fc.integer({ min: -2 * rules.certificateLifetimeMs, max: 2 * rules.certificateLifetimeMs }),
    servingCertificate: fc.constantFrom('valid', 'names-missing', 'none'),
  })
  .map(
    ({ ages, problem, issuerIndex, servingAge, servingCertificate }) =>
      (now: number): StoredCertificateFacts => {
        const caCertificates = ages.map((age) => createCa(now - age));
        const certificate = createServingCertificate(caCertificates[issuerIndex], now - servingAge);
        const stored = createStoredState(
          caCertificates,
          servingCertificate === 'none'
            ? undefined
            : { ...certificate, missingNames: servingCertificate === 'names-missing' ? ['x'] : [] },
        );
        return caCertificates.length > 0 ? { ...stored, caProblem: problem } : stored;
      },
  );

describe('any content of the Secret and the caBundle', () => {
  it('leads to a valid state after a few steps', () => {
    fc.assert(
      fc.property(
        fc.option(anyStored),
        fc.uniqueArray(fc.nat(4), { maxLength: 4 }),
        fc.boolean(),
        (stored, published, restarted) => {
          const model = new PolicyModel();
          if (stored !== null) {
            model.stored = stored(model.now);
          }
          if (model.stored !== 'none') {
            model.addCas(...model.stored.caCertificates);
          }
          const ids = [...model.caCertificates.keys(), 'not-a-certificate', 'unmanaged-ca'];
          model.addCas({ ...createCa(model.now), id: 'unmanaged-ca' });
          model.publish(published.flatMap((index) => ids[index] ?? []));
          const replica = createModelReplica();
          if (!restarted) {
            replica.ca = createCa(model.now);
            replica.current = createServingCertificate(replica.ca, model.now);
            model.addCas(replica.ca);
          }
          let steps = 1;
          while (model.reconcile(replica).action !== 'none' && steps < 9) {
            steps += 1;
          }
          assert.ok(steps <= 6, model.steps.map(({ action, reason }) => `${action}: ${reason}`).join());
          assertValidState(model);
          simulate(
            model,
            [replica],
            rules.apiServerPropagationMs + 2 * rules.certificateLifetimeMs,
            chanceOf([1, 2, 3]),
          );
          assertValidState(model);
          assert.deepEqual(replica.current?.missingNames, []);
          assert.equal(replica.current?.id, model.stored !== 'none' && model.stored.servingCertificate?.id);
          assert.ok(model.bundle.length <= 2, 'previously used CAs are not trusted any more');
        },
      ),
      { numRuns: 500 },
    );
  });
});

/** Starts three replicas that have agreed on their first CA. */
function startReplicas(chances: Parameters<typeof chanceOf>[0]) {
  const chance = chanceOf(chances);
  const model = new PolicyModel();
  const replicas = [createModelReplica(), createModelReplica(), createModelReplica()];
  simulate(model, replicas, 2 * rules.apiServerPropagationMs, chance);
  return { chance, model, replicas };
}

describe('three replicas during the lifetimes of several CAs', () => {
  it('never serve a certificate that an API server does not trust, even with restarts at any time', () => {
    fc.assert(
      fc.property(numbers, (chances) => {
        const { chance, model, replicas } = startReplicas(chances);
        simulate(model, replicas, 3 * caLifetimeMs, chance, () => {
          assertServed(
            model,
            replicas.filter(({ current }) => current !== undefined),
          );
          const restarted = replicas[chance(400)];
          if (restarted !== undefined) {
            Object.assign(restarted, createModelReplica());
          }
        });
        assertValidState(model);
        const issuedCas = model.steps.filter(({ action }) => action === 'issue-ca').length;
        assert.ok(issuedCas >= 3, `${issuedCas} changes of CA`);
        assert.equal(model.steps.filter(({ action }) => action === 'create').length, 1);
        assert.ok(model.bundle.length <= 2);
      }),
      { numRuns: 30 },
    );
  });

  it('never serve an untrusted certificate, even if the Secret is deleted or damaged repeatedly', () => {
    fc.assert(
      fc.property(numbers, (chances) => {
        const { chance, model, replicas } = startReplicas(chances);
        for (let damage = 0; damage < 20; damage += 1) {
          corruptSecret(model, chance(3));
          simulate(model, replicas, chance(2 * rules.certificateLifetimeMs), chance, () =>
            assertServed(model, replicas),
          );
        }
        simulate(model, replicas, rules.apiServerPropagationMs + 2 * rules.certificateLifetimeMs, chance);
        assertValidState(model);
        assert.ok(model.bundle.length <= 2, 'one CA, or two during a rotation');
      }),
      { numRuns: 50 },
    );
  });
});

function corruptSecret(model: PolicyModel, damage: number): void {
  if (model.stored === 'none' || damage === 0) {
    model.stored = 'none';
  } else if (damage === 1) {
    model.stored = createStoredState([], undefined);
  } else if (damage === 2) {
    model.stored = { ...model.stored, caProblem: 'ca-key-mismatch' };
  } else {
    model.stored = createStoredState(model.stored.caCertificates, undefined);
  }
}
