// Tests that the hosts annotation is parsed as it was formatted, and that malformed ones never throw.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import * as v from 'valibot';
import { configSchema } from '../../src/config/schema.ts';
import {
  formatHosts,
  maxParsedHosts,
  parseAnnotation,
  parseRequestTimes,
} from '../../src/pull-secrets/hosts-annotation.ts';
import { resolveRegistry } from '../support/registries.ts';
import { hourMs } from './pull-secret-fixtures.ts';

const parseHosts = (text: string | undefined) => parseAnnotation(text, resolveRegistry).hosts;

const now = Date.UTC(2026, 10, 23, 12);
const hostOf = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;

describe('the annotation', () => {
  it('is parsed as it was formatted, to the second', () => {
    const lifetime = { issuedAt: now, expiresAt: now + 12 * hourMs };
    const hosts = new Map([
      [hostOf('us-east-1'), lifetime],
      [hostOf('eu-central-1'), undefined],
    ]);
    assert.equal(
      formatHosts(hosts),
      `{"${hostOf('eu-central-1')}":null,"${hostOf('us-east-1')}":{"issuedAt":"2026-11-23T12:00:00Z","expiresAt":"2026-11-24T00:00:00Z"}}`,
    );
    assert.deepEqual(parseHosts(formatHosts(hosts)), new Map([...hosts].reverse()));
  });

  it('never states a later expiry than that of the token', () => {
    const lifetime = { issuedAt: now + 999, expiresAt: now + hourMs + 999 };
    assert.equal(
      parseHosts(formatHosts(new Map([[hostOf('us-east-1'), lifetime]]))).get(hostOf('us-east-1'))?.expiresAt,
      now + hourMs,
    );
  });

  it('is parsed without lifetimes for malformed times, and without hosts that are not ECR hosts', () => {
    const host = hostOf('us-east-1');
    for (const lifetime of [
      null,
      3,
      'x',
      {},
      { issuedAt: 'x', expiresAt: 'y' },
      { issuedAt: 5, expiresAt: 1 },
    ]) {
      assert.deepEqual(
        [...parseHosts(JSON.stringify({ [host]: lifetime, 'evil.example': null }))],
        [[host, undefined]],
      );
    }
    for (const text of [undefined, '', '[]', '"x"', '{', 'null']) {
      assert.equal(parseHosts(text).size, 0);
    }
  });

  it('is read up to the maximum number of hosts, and not at all if it is larger than the program writes', () => {
    const hosts = Array.from({ length: 1_900 }, (_, index) => {
      const letters = [...String(index)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
      return hostOf(`us-${letters}-1`);
    });
    const naming = (count: number) =>
      JSON.stringify(Object.fromEntries(hosts.slice(0, count).map((host) => [host, null])));
    assert.deepEqual([...parseHosts(naming(400)).keys()], hosts.slice(0, maxParsedHosts));
    assert.equal(parseHosts(naming(1_900)).size, 0);
    assert.equal(parseHosts(`{"${hostOf('us-east-1')}":null${' '.repeat(64 * 1024)}}`).size, 0);
    assert.equal(parseHosts(`{"${hostOf('us-east-1')}":null${',"a":1'.repeat(1_001)}}`).size, 0);
  });

  it('is read completely with the longest hosts that a Secret can hold', () => {
    const lifetime = { issuedAt: now, expiresAt: now + 12 * hourMs, identity: 'abcdef12' };
    const host = (index: number) => {
      const account = String(index).padStart(12, '0');
      return `${account}.dkr-ecr-fips.abcdefgh-abcdefghijklmnop-abcdefghijklmnop-99.on.aws:65535`;
    };
    const all = new Map(Array.from({ length: maxParsedHosts }, (_, index) => [host(index), lifetime]));
    assert.deepEqual(parseHosts(formatHosts(all)), all);
  });

  it('is read up to the largest maximum that can be configured', () => {
    const withMaxHosts = (maxHosts: number) => v.safeParse(configSchema, { secrets: { maxHosts } }).success;
    assert.deepEqual([maxParsedHosts, maxParsedHosts + 1].map(withMaxHosts), [true, false]);
  });

  it('has no parsed time that cannot be formatted again', () => {
    const host = hostOf('us-east-1');
    for (const expiresAt of ['+275760-09-13T00:00:00Z', 'Tue, 24 Nov 2026 00:00:00 GMT', 8.64e15, [now]]) {
      const text = JSON.stringify({ [host]: { issuedAt: '2026-11-23T12:00:00Z', expiresAt } });
      assert.equal(parseHosts(text).get(host), undefined);
    }
  });

  it('states and parses when a host without a token was requested', () => {
    const host = hostOf('us-east-1');
    const text = formatHosts(new Map([[host, undefined]]), new Map([[host, now + 999]]));
    assert.equal(text, `{"${host}":{"requestedAt":"2026-11-23T12:00:00Z"}}`);
    assert.deepEqual([...parseHosts(text)], [[host, undefined]]);
    assert.deepEqual([...parseRequestTimes(text, parseHosts(text))], [[host, now]]);
  });

  it('is parsed as it was formatted, for any content', () => {
    const second = fc.integer({ min: 0, max: 4_000_000_000 }).map((seconds) => seconds * 1000);
    const lifetime = fc
      .tuple(
        second,
        fc.integer({ min: 1, max: 50_000 }),
        fc.option(fc.string({ minLength: 1 }), { nil: undefined }),
      )
      .map(([issuedAt, seconds, identity]) => ({
        issuedAt,
        expiresAt: issuedAt + seconds * 1000,
        ...(identity !== undefined && { identity }),
      }));
    const entry = fc.record({
      lifetime: fc.option(lifetime, { nil: undefined }),
      at: fc.option(second, { nil: undefined }),
    });
    fc.assert(
      fc.property(
        fc.dictionary(fc.constantFrom('us-east-1', 'us-west-2', 'eu-west-1').map(hostOf), entry),
        (entries) => {
          const hosts = new Map(Object.entries(entries).map(([host, one]) => [host, one.lifetime]));
          const times = new Map(
            Object.entries(entries).flatMap(([host, one]) =>
              one.at === undefined || one.lifetime !== undefined ? [] : [[host, one.at] as const],
            ),
          );
          const text = formatHosts(hosts, times);
          assert.deepEqual(parseHosts(text), new Map([...hosts].sort(([a], [b]) => (a < b ? -1 : 1))));
          assert.deepEqual(new Map([...parseRequestTimes(text, hosts)].sort()), new Map([...times].sort()));
          assert.equal(formatHosts(parseHosts(text), parseRequestTimes(text, hosts)), text);
        },
      ),
    );
  });

  it('has no request time if that is malformed, and parsing never throws', () => {
    const host = hostOf('us-east-1');
    const read = (entry: unknown) =>
      parseRequestTimes(JSON.stringify({ [host]: entry }), new Map([[host, undefined]]));
    for (const requestedAt of [
      '-271821-04-20T00:00:00.001Z',
      '+275760-09-13T00:00:00Z',
      'yesterday',
      '',
      5,
      null,
      {},
      [],
      { toString: 1, valueOf: 1 },
    ]) {
      assert.equal(read({ requestedAt }).size, 0, JSON.stringify(requestedAt));
    }
    assert.equal(parseRequestTimes('{"requestedAt"', new Map()).size, 0);
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        parseRequestTimes(JSON.stringify({ [host]: { requestedAt: value } }), new Map([[host, undefined]]));
      }),
    );
  });
});
