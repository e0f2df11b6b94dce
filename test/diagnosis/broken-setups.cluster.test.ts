// Tests that the first failed line of doctor names the cause of each broken setup, with the real program on a real API server.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import type { CheckResult } from '../../src/diagnosis/check.ts';
import { eventually } from '../support/eventually.ts';
import { type BrokenSetup, matchesSummary } from './broken-setup.ts';
import { brokenSetups } from './broken-setups.ts';
import type { DoctorOutput } from './doctor-process.ts';
import { type Caller, fullChecks, type HealthyInstallation } from './healthy-installation.ts';
import { describeOnHealthyInstallation, doctorLimits } from './healthy-installation-suite.ts';

describeOnHealthyInstallation('doctor in a broken setup', (installation) => {
  const assertHealthy = async () => {
    for (const caller of ['inside', 'administrator', 'developer'] as const) {
      await assertNothingWrong(installation(), caller);
    }
  };

  it('nothing is wrong in a healthy one, for all callers', doctorLimits, assertHealthy);
  for (const setup of brokenSetups) {
    it(`${setup.name} is named, and nothing else`, doctorLimits, async () => {
      const { repair, ...changes } = await setup.break(installation());
      try {
        const caller = setup.from === 'inside' ? 'inside' : 'administrator';
        const run = await installation().doctor(caller, setup.command, changes);
        assertNamed(setup, run);
        assertNoSecret(installation(), run);
      } finally {
        await repair();
      }
    });
  }
  it('nothing is wrong after all repairs', doctorLimits, async () => {
    await eventually('nothing is wrong', async () => {
      await assertHealthy();
      return true;
    });
  });
});

const isFailed = ({ outcome }: CheckResult) => outcome === 'failed';

function assertNamed(
  { check, summary, consequences = [] }: BrokenSetup,
  { code, checks }: DoctorOutput,
): void {
  const failed = checks.filter(isFailed);
  const [first] = failed;
  const found = JSON.stringify(
    checks.filter(({ outcome }) => outcome !== 'ok'),
    undefined,
    2,
  );
  assert.ok(first, `no check failed:\n${found}`);
  assert.ok(
    first.check === check && matchesSummary(summary, first.summary),
    `the first failed line:\n${found}`,
  );
  assert.ok(first.remedy !== undefined && first.page !== undefined, `it says what to do:\n${found}`);
  const others = failed.slice(1).filter((other) => ![check, ...consequences].includes(other.check));
  assert.deepEqual(others, [], 'nothing else is blamed');
  assert.equal(code, 1);
}

async function assertNothingWrong(installation: HealthyInstallation, caller: Caller): Promise<void> {
  const run = await installation.doctor(caller, fullChecks[caller]);
  const wrong = run.checks.filter(({ outcome }) => outcome === 'failed' || outcome === 'warning');
  assert.deepEqual(wrong, [], caller);
  assert.equal(run.code, 0);
  assertNoSecret(installation, run);
}

/** No output contains a key or a token. */
function assertNoSecret({ ecr }: HealthyInstallation, { output }: DoctorOutput): void {
  for (const secret of ecr.secrets()) {
    assert.ok(!output.includes(secret) && !output.includes(btoa(secret).slice(0, 20)));
  }
}
