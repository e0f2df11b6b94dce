// One process manages the certificates; replicas serve the files that kubelets mount from the Secret minutes later.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import type { RotationRules } from '../../src/certificates/certificate-policy.ts';
import type { ServingCertificateFacts } from '../../src/certificates/certificate-state.ts';
import { mountedPropagationMs } from '../../src/certificates/managed-certificates.ts';
import {
  caLifetimeMs,
  createModelReplica,
  createStoredState,
  type ModelReplica,
  PolicyModel,
  rules,
  secondMs,
} from './certificate-policy-model.ts';

/** A kubelet updates a mounted Secret within its sync period plus the delay of its cache: 1 to 2 minutes. */
const mountLagMs = 120 * secondMs;
/** Maximum lag of an API server. */
const lagMs = rules.apiServerPropagationMs / 2;
const tickMs = 5 * secondMs;
const mountedRules: RotationRules = { ...rules, replicaPropagationMs: mountedPropagationMs };

/** The mounted files of a replica. */
interface Mount {
  shows: ServingCertificateFacts | undefined;
  /** When the kubelet has updated the files at the latest. */
  updateBy: number;
}

type Chance = (max: number) => number;

const chances: fc.Arbitrary<Chance> = fc
  .noShrink(fc.array(fc.nat(1_000_000), { minLength: 500, maxLength: 500 }))
  .map((numbers) => {
    let at = 0;
    return (max) => {
      at = (at + 1) % numbers.length;
      return (numbers[at] ?? 0) % (max + 1);
    };
  });

class Installation {
  readonly model: PolicyModel;
  readonly controller: ModelReplica = createModelReplica();
  readonly mounts: Mount[] = Array.from({ length: 3 }, () => ({ shows: undefined, updateBy: 0 }));
  readonly #chance: Chance;

  constructor(rotationRules: RotationRules, chance: Chance) {
    this.model = new PolicyModel(rotationRules);
    this.#chance = chance;
    this.advance(2 * mountLagMs, false);
  }

  /**
   * Lets time pass.
   * @param isChecked whether to assert that every API server trusts what the replicas serve
   */
  advance(ms: number, isChecked = true): void {
    const { model } = this;
    for (const end = model.now + ms; model.now < end; model.now += tickMs) {
      const steps = this.#chance(6);
      for (let step = 0; step < steps || this.#chance(5) === 0; step += 1) {
        this.#mount();
        if (isChecked) {
          this.#check();
        }
        model.reconcile(this.controller);
      }
      this.#mount();
      if (isChecked) {
        this.#check();
      }
    }
  }

  #mount(): void {
    const { stored, now } = this.model;
    for (const mount of this.mounts) {
      // An invalid file is not served; the last valid one stays in use.
      const servingCertificate = stored === 'none' ? undefined : stored.servingCertificate;
      if (servingCertificate === undefined || servingCertificate.id === mount.shows?.id) {
        mount.updateBy = now + mountLagMs;
      } else if (now >= mount.updateBy || this.#chance(20) === 0) {
        mount.shows = servingCertificate;
      }
    }
  }

  #check(): void {
    for (const { shows } of this.mounts) {
      assert.ok(shows !== undefined && this.model.now <= shows.expiresAt, 'what is served is valid');
      for (const bundle of [this.model.bundle, this.model.getBundleBefore(lagMs)]) {
        assert.ok(bundle.includes(shows.issuerId ?? ''), 'its CA is published');
      }
    }
  }

  corrupt(): void {
    const { model } = this;
    const damage = this.#chance(3);
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
}

describe('replicas that serve mounted files', () => {
  it('never serve a certificate that an API server does not trust, even if the controller restarts at any time', () => {
    fc.assert(
      fc.property(chances, (chance) => {
        const installation = new Installation(mountedRules, chance);
        for (let restarts = 0; restarts < 40; restarts += 1) {
          installation.advance(chance(300 * secondMs));
          Object.assign(installation.controller, createModelReplica());
        }
        installation.advance(2 * caLifetimeMs);
        const issuedCas = installation.model.steps.filter(({ action }) => action === 'issue-ca').length;
        assert.ok(issuedCas >= 2, `${issuedCas} changes of CA`);
      }),
      { numRuns: 20 },
    );
  });

  it('never serve an untrusted certificate, even if certificates have a longer lifetime than configured now', () => {
    fc.assert(
      fc.property(chances, (chance) => {
        new Installation({ ...mountedRules, certificateLifetimeMs: 60 * secondMs }, chance).advance(
          3 * caLifetimeMs,
        );
      }),
      { numRuns: 20 },
    );
  });

  it('never serve an untrusted certificate, even if the Secret is deleted or damaged repeatedly', () => {
    fc.assert(
      fc.property(chances, (chance) => {
        const installation = new Installation(mountedRules, chance);
        for (let damage = 0; damage < 20; damage += 1) {
          installation.corrupt();
          installation.advance(chance(2 * rules.certificateLifetimeMs));
        }
        installation.advance(2 * rules.certificateLifetimeMs + mountedRules.replicaPropagationMs);
        assert.ok(installation.model.bundle.length <= 2, 'one CA, or two during a rotation');
      }),
      { numRuns: 30 },
    );
  });
});
