import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { formatHosts, parseHosts } from '../../src/secrets/annotation.ts';
import { hour } from './tokens.ts';

const now = Date.UTC(2026, 10, 23, 12);
const hostOf = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;

describe('the annotation', () => {
  it('comes back as it was written, to the second', () => {
    const life = { issuedAt: now, expiresAt: now + 12 * hour };
    const hosts = new Map([
      [hostOf('us-east-1'), life],
      [hostOf('eu-central-1'), undefined],
    ]);
    assert.equal(
      formatHosts(hosts),
      `{"${hostOf('eu-central-1')}":null,"${hostOf('us-east-1')}":{"issuedAt":"2026-11-23T12:00:00Z","expiresAt":"2026-11-24T00:00:00Z"}}`,
    );
    assert.deepEqual(parseHosts(formatHosts(hosts)), new Map([...hosts].reverse()));
  });

  it('never promises a token for longer than it lives', () => {
    const life = { issuedAt: now + 999, expiresAt: now + hour + 999 };
    assert.equal(
      parseHosts(formatHosts(new Map([[hostOf('us-east-1'), life]]))).get(hostOf('us-east-1'))?.expiresAt,
      now + hour,
    );
  });

  it('gives a host without readable times as one that waits, and leaves out what is no ECR host', () => {
    const host = hostOf('us-east-1');
    for (const life of [null, 3, 'x', {}, { issuedAt: 'x', expiresAt: 'y' }, { issuedAt: 5, expiresAt: 1 }]) {
      assert.deepEqual(
        [...parseHosts(JSON.stringify({ [host]: life, 'evil.example': null }))],
        [[host, undefined]],
      );
    }
    for (const text of [undefined, '', '[]', '"x"', '{', 'null']) {
      assert.equal(parseHosts(text).size, 0);
    }
  });
});
