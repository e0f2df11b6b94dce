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

/** A replica that was told nothing looks this often; an API server is behind by at most this much. */
const lagMs = rules.apiServerPropagationMs / 2;
const tickMs = 5 * secondMs;

type Chance = (most: number) => number;

/** Numbers from 0 to `most`, one after the other, out of a list. */
function chanceOf(numbers: readonly number[]): Chance {
  let at = 0;
  return (most) => {
    at = (at + 1) % numbers.length;
    return (numbers[at] ?? 0) % (most + 1);
  };
}

// A run of so many steps does not get clearer by being shortened, and takes for ever to be.
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

/** Lets time pass; in each tick every replica may take some steps, in any order. */
function simulate(
  model: PolicyModel,
  replicas: readonly ModelReplica[],
  ms: number,
  chance: Chance,
  check = () => {},
) {
  const lookedAt = new Map(replicas.map((replica) => [replica, model.now]));
  for (const end = model.now + ms; model.now < end; model.now += tickMs) {
    for (let turn = chance(4); turn >= 0; turn -= 1) {
      const replica = replicas[chance(replicas.length - 1)];
      if (replica === undefined) continue;
      model.reconcile(replica);
      lookedAt.set(replica, model.now);
      check();
    }
    for (const replica of replicas) {
      if (model.now - (lookedAt.get(replica) ?? 0) < lagMs) continue;
      model.reconcile(replica);
      lookedAt.set(replica, model.now);
    }
    check();
  }
}

/** What every API server has to find, whether it is up to date or behind. */
function assertServed(model: PolicyModel, replicas: readonly ModelReplica[]): void {
  for (const { current } of replicas) {
    assert.ok(current !== undefined && model.now <= current.expiresAt, 'what is served is valid');
    for (const bundle of [model.bundle, model.getBundleBefore(lagMs)]) {
      assert.ok(bundle.includes(current.issuerId ?? ''), 'its CA is published');
    }
  }
}

/** Any state of the Secret, in facts. */
const anyStored = fc
  .record({
    ages: fc.array(fc.integer({ min: -2 * caLifetimeMs, max: 2 * caLifetimeMs }), { maxLength: 3 }),
    problem: fc.constantFrom(undefined, 'ca-key-invalid' as const, 'ca-key-mismatch' as const),
    leafOf: fc.nat(3),
    leafAge: fc.integer({ min: -2 * rules.certificateLifetimeMs, max: 2 * rules.certificateLifetimeMs }),
    servingCertificate: fc.constantFrom('good', 'lacks', 'none'),
  })
  .map(({ ages, problem, leafOf, leafAge, servingCertificate }) => (now: number): StoredCertificateFacts => {
    const caCertificates = ages.map((age) => createCa(now - age));
    const made = createServingCertificate(caCertificates[leafOf], now - leafAge);
    const stored = createStoredState(
      caCertificates,
      servingCertificate === 'none'
        ? undefined
        : { ...made, missingNames: servingCertificate === 'lacks' ? ['x'] : [] },
    );
    return caCertificates.length > 0 ? { ...stored, caProblem: problem } : stored;
  });

describe('whatever the Secret and the caBundle hold', () => {
  it('the steps end, after a few, in a good state', () => {
    fc.assert(
      fc.property(
        fc.option(anyStored),
        fc.uniqueArray(fc.nat(4), { maxLength: 4 }),
        fc.boolean(),
        (stored, published, restarted) => {
          const model = new PolicyModel();
          if (stored !== null) model.stored = stored(model.now);
          if (model.stored !== 'none') model.addCas(...model.stored.caCertificates);
          const ids = [...model.caCertificates.keys(), 'not-a-certificate', 'of-somebody-else'];
          model.addCas({ ...createCa(model.now), id: 'of-somebody-else' });
          model.publish(published.flatMap((index) => ids[index] ?? []));
          const replica = createModelReplica();
          if (!restarted) {
            replica.ca = createCa(model.now);
            replica.current = createServingCertificate(replica.ca, model.now);
            model.addCas(replica.ca);
          }
          let steps = 1;
          while (model.reconcile(replica).action !== 'none' && steps < 9) steps += 1;
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
          assert.ok(model.bundle.length <= 2, 'what was in use before is not trusted any more');
        },
      ),
      { numRuns: 500 },
    );
  });
});

/** Three replicas that have agreed on their first CA. */
function inService(chances: Parameters<typeof chanceOf>[0]) {
  const chance = chanceOf(chances);
  const model = new PolicyModel();
  const replicas = [createModelReplica(), createModelReplica(), createModelReplica()];
  simulate(model, replicas, 2 * rules.apiServerPropagationMs, chance);
  return { chance, model, replicas };
}

describe('three replicas, over the lives of several CAs', () => {
  it('never serve what an API server could not trust, though they restart at any time', () => {
    fc.assert(
      fc.property(numbers, (chances) => {
        const { chance, model, replicas } = inService(chances);
        simulate(model, replicas, 3 * caLifetimeMs, chance, () => {
          assertServed(
            model,
            replicas.filter(({ current }) => current !== undefined),
          );
          const unlucky = replicas[chance(400)];
          if (unlucky !== undefined) Object.assign(unlucky, createModelReplica());
        });
        assertValidState(model);
        const made = model.steps.filter(({ action }) => action === 'issue-ca').length;
        assert.ok(made >= 3, `${made} changes of CA`);
        assert.equal(model.steps.filter(({ action }) => action === 'create').length, 1);
        assert.ok(model.bundle.length <= 2);
      }),
      { numRuns: 30 },
    );
  });

  it('nor when the Secret is deleted or spoilt again and again', () => {
    fc.assert(
      fc.property(numbers, (chances) => {
        const { chance, model, replicas } = inService(chances);
        for (let damage = 0; damage < 20; damage += 1) {
          corruptSecret(model, chance(3));
          simulate(model, replicas, chance(2 * rules.certificateLifetimeMs), chance, () =>
            assertServed(model, replicas),
          );
        }
        simulate(model, replicas, rules.apiServerPropagationMs + 2 * rules.certificateLifetimeMs, chance);
        assertValidState(model);
        assert.ok(model.bundle.length <= 2, 'one CA, or two where a change is under way');
      }),
      { numRuns: 50 },
    );
  });
});

function corruptSecret(model: PolicyModel, how: number): void {
  if (model.stored === 'none' || how === 0) {
    model.stored = 'none';
  } else if (how === 1) {
    model.stored = createStoredState([], undefined);
  } else if (how === 2) {
    model.stored = { ...model.stored, caProblem: 'ca-key-mismatch' };
  } else {
    model.stored = createStoredState(model.stored.caCertificates, undefined);
  }
}
