// Tests the check of tokens: which cause it names, and when it is silent.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { HostState, HostStatus, SecretStatus } from '../../src/diagnosis/secret-states.ts';
import { checkTokens } from '../../src/diagnosis/token-checks.ts';
import { countStates, hostStatus, secretStatus } from './secret-status-fixtures.ts';

const now = Date.parse('2026-01-02T12:00:00Z');

function surveyOf(hosts: readonly (Partial<HostStatus> & { state: HostState; namespace: string })[]) {
  const secrets = new Map<string, SecretStatus>();
  for (const { namespace, state, ...changes } of hosts) {
    const before = secrets.get(namespace)?.hosts ?? [];
    secrets.set(namespace, secretStatus(namespace, [...before, hostStatus(state, changes)]));
  }
  return { secrets, counts: countStates(hosts), now, gaps: [] };
}

const check = (
  survey: ReturnType<typeof surveyOf>,
  unwritable: readonly string[] = [],
  unused: readonly string[] = [],
) =>
  checkTokens({ viewpoint: 'inside', namespace: 'ecr' }, survey, new Set(unwritable), (namespace) =>
    unused.includes(namespace),
  );

describe('the check of tokens', () => {
  const valid = { state: 'valid', expiresAt: now + 5 * 3_600_000 } as const;

  it('says when the next token expires', () => {
    const { outcome, summary } = check(
      surveyOf([
        { namespace: 'shop', ...valid },
        { namespace: 'cart', state: 'due', expiresAt: now + 4.5 * 3_600_000 },
      ]),
    );
    assert.deepEqual(
      [outcome, summary],
      ['ok', '2 tokens valid in 2 namespaces, 1 of them due for renewal; the next one expires in 4h30m'],
    );
    assert.equal(check(surveyOf([])).outcome, 'ok');
  });

  it('names the cause that concerns most hosts, and a known one before an unknown one', () => {
    const { outcome, summary, details } = check(
      surveyOf([
        { namespace: 'a', state: 'expired', expiresAt: now - 1000 },
        { namespace: 'b', state: 'expired', expiresAt: now - 1000 },
        { namespace: 'c', state: 'failing', error: 'AccessDenied' },
        { namespace: 'd', ...valid },
      ]),
    );
    assert.equal(outcome, 'failed');
    assert.equal(summary, '1 host without a valid token in 1 namespace: AccessDenied');
    assert.equal(details?.length, 3);
  });

  it('says until when pods pull if only the renewal fails', () => {
    const { summary, meaning } = check(
      surveyOf([{ namespace: 'a', state: 'failing', error: 'x', expiresAt: now + 3_600_000 }]),
    );
    assert.match(summary, /^1 host cannot be renewed in 1 namespace: x$/);
    assert.match(meaning ?? '', /the first one in 1h0m/);
  });

  it('fails for a host that has waited for two minutes, and warns of a shorter wait', () => {
    const waiting = (waitingSince: number) => surveyOf([{ namespace: 'a', state: 'waiting', waitingSince }]);
    assert.equal(check(waiting(now - 180_000)).outcome, 'failed');
    assert.equal(check(waiting(now - 10_000)).outcome, 'warning');
  });

  it('warns of hosts without a token that no pod needs, and fails for one whose token cannot be renewed', () => {
    const survey = surveyOf([
      { namespace: 'a', state: 'failing', error: 'no such region' },
      { namespace: 'b', state: 'failing', error: 'denied', expiresAt: now + 3_600_000 },
    ]);
    assert.match(check(survey, [], ['a', 'b']).summary, /^1 host cannot be renewed in 1 namespace: denied$/);
    assert.match(check(survey, [], ['b']).summary, /: no such region$|: denied$/);
    const onlyUnused = check(surveyOf([{ namespace: 'a', state: 'failing', error: 'x' }]), [], ['a']);
    assert.equal(onlyUnused.outcome, 'warning');
    assert.match(onlyUnused.remedy ?? '', /remove-host --namespace a 123456789012/);
  });

  it('does not report again what a Secret that cannot be written explains', () => {
    const survey = surveyOf([{ namespace: 'a', state: 'failing', error: 'quota' }]);
    assert.equal(check(survey, ['a']).outcome, 'skipped');
    assert.equal(check(survey, ['b']).outcome, 'failed');
  });

  it('says that the cause is not known because Events could not be read', () => {
    const survey = surveyOf([{ namespace: 'a', state: 'expired', expiresAt: now - 1 }]);
    const why = 'there is no right to list events';
    const gaps = [{ request: 'list events', isForbidden: true, why }];
    const { summary } = checkTokens(
      { viewpoint: 'outside', namespace: undefined },
      { ...survey, gaps },
      new Set(),
      () => false,
    );
    assert.match(summary, new RegExp(`${why}$`));
  });
});
