import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { SecretContent } from '../../src/pull-secrets/merge.ts';
import { findDroppableHosts, findForgettableHosts } from '../../src/pull-secrets/merge.ts';
import { hourMs } from './pull-secret-fixtures.ts';

const now = Date.UTC(2026, 10, 23, 12);
const life = (endsIn: number) => ({ issuedAt: now + endsIn - 12 * hourMs, expiresAt: now + endsIn });
const content = (
  hosts: Record<string, ReturnType<typeof life> | undefined>,
  entries: string[] = [],
): SecretContent => {
  const tokens = Object.entries(hosts).filter(([, one]) => one !== undefined);
  const auths = [...tokens.map(([host]) => host), ...entries].map(
    (host) => [host, '{"auth":"eDp5"}'] as const,
  );
  return { hosts: new Map(Object.entries(hosts)), requestedAt: new Map(), auths: new Map(auths) };
};

describe('hosts that may make room', () => {
  it('are those without a token, then expired ones, then the valid ones that expire first', () => {
    const present = content({
      late: life(9 * hourMs),
      soon: life(hourMs),
      none: undefined,
      old: life(-hourMs),
    });
    assert.deepEqual(findDroppableHosts(present, { isKept: () => false, now }), [
      { host: 'none', valid: false },
      { host: 'old', valid: false },
      { host: 'soon', valid: true },
      { host: 'late', valid: true },
    ]);
  });

  it('are none that something keeps, and none whose entry somebody else wrote', () => {
    const present = content({ kept: undefined, theirs: undefined, free: undefined }, ['theirs', 'a.example']);
    const isKept = (host: string) => host === 'kept';
    assert.deepEqual(findDroppableHosts(present, { isKept, now }), [{ host: 'free', valid: false }]);
  });
});

describe('hosts that are forgotten', () => {
  it('have waited for long enough, and nothing keeps them', () => {
    const requestedAt = new Map([
      ['old', now - hourMs],
      ['young', now - hourMs + 1],
      ['kept', now - 9 * hourMs],
    ]);
    const isKept = (host: string) => host === 'kept';
    assert.deepEqual(findForgettableHosts({ requestedAt }, hourMs, { isKept, now }), ['old']);
  });
});
