// Tests which hosts a full Secret may drop, in which order, and which hosts can be forgotten.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { findDroppableHosts, findForgettableHosts } from '../../src/pull-secrets/droppable-hosts.ts';
import type { SecretContent } from '../../src/pull-secrets/merge.ts';
import { hourMs } from './pull-secret-fixtures.ts';

const now = Date.UTC(2026, 10, 23, 12);
const lifetime = (expiresInMs: number) => ({
  issuedAt: now + expiresInMs - 12 * hourMs,
  expiresAt: now + expiresInMs,
});
const content = (
  hosts: Record<string, ReturnType<typeof lifetime> | undefined>,
  entries: string[] = [],
): SecretContent => {
  const tokens = Object.entries(hosts).filter(([, one]) => one !== undefined);
  const auths = [...tokens.map(([host]) => host), ...entries].map(
    (host) => [host, '{"auth":"eDp5"}'] as const,
  );
  return { hosts: new Map(Object.entries(hosts)), requestedAt: new Map(), auths: new Map(auths) };
};

describe('findDroppableHosts', () => {
  it('returns hosts without a token, then with an expired token, then with a valid token in order of expiry', () => {
    const present = content({
      late: lifetime(9 * hourMs),
      soon: lifetime(hourMs),
      none: undefined,
      old: lifetime(-hourMs),
    });
    assert.deepEqual(findDroppableHosts(present, { isKept: () => false, now }), [
      { host: 'none', valid: false },
      { host: 'old', valid: false },
      { host: 'soon', valid: true },
      { host: 'late', valid: true },
    ]);
  });

  it('skips hosts that are kept, and hosts whose entry another writer added', () => {
    const present = content({ kept: undefined, theirs: undefined, free: undefined }, ['theirs', 'a.example']);
    const isKept = (host: string) => host === 'kept';
    assert.deepEqual(findDroppableHosts(present, { isKept, now }), [{ host: 'free', valid: false }]);
  });
});

describe('findForgettableHosts', () => {
  it('returns hosts that have waited long enough and are not kept', () => {
    const requestedAt = new Map([
      ['old', now - hourMs],
      ['young', now - hourMs + 1],
      ['kept', now - 9 * hourMs],
    ]);
    const isKept = (host: string) => host === 'kept';
    assert.deepEqual(findForgettableHosts({ requestedAt }, hourMs, { isKept, now }), ['old']);
  });
});
