// Tests the content of a Secret after a merge: hosts, tokens, limits, and entries of other writers.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { createTokenRules } from '../../src/pull-secrets/host-needs.ts';
import { formatHosts, maxParsedHosts } from '../../src/pull-secrets/hosts-annotation.ts';
import {
  type DesiredHosts,
  type DroppableHost,
  emptyContent,
  formatDockerConfig,
  mergeContent,
  omitHosts,
  readContent,
  type SecretContent,
} from '../../src/pull-secrets/merge.ts';
import { allow, denied, unresolved } from '../support/identities.ts';
import { resolveRegistry } from '../support/registries.ts';
import { fakeToken, hourMs } from './pull-secret-fixtures.ts';

const now = Date.UTC(2026, 10, 23, 12);
const hostOf = (region: string) => `123456789012.dkr.ecr.${region}.amazonaws.com`;
const regions = ['eu-central-1', 'us-east-1', 'us-west-2', 'ap-south-1', 'sa-east-1', 'af-south-1'];
const rulesAt = (at: number, maxHosts = 200, identity?: string) =>
  createTokenRules({
    freshness: { fraction: 0.5, floorMs: hourMs },
    maxHosts,
    identityOf: () => allow(identity),
    now: () => at,
  });

function authOf(auths: SecretContent['auths'], host: string): unknown {
  return JSON.parse(auths.get(host) ?? '{}').auth;
}

/** The minimum of a few runs, because other processes can only make a run slower. */
function measureMinCpuMs(run: () => unknown): number {
  const runs = Array.from({ length: 5 }, () => {
    const before = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(before);
    return (user + system) / 1_000;
  });
  return Math.min(...runs);
}

/** Formats content and parses it again, as if it had been stored in a Secret. */
function stored({ hosts, requestedAt, auths }: SecretContent): SecretContent {
  const { content, malformed } = readContent(
    formatDockerConfig(auths),
    formatHosts(hosts, requestedAt),
    resolveRegistry,
  );
  assert.deepEqual(malformed, []);
  return content;
}

const desired = fc
  .array(
    fc.tuple(fc.constantFrom(...regions.map(hostOf)), fc.option(fc.nat({ max: 24 }), { nil: undefined })),
    {
      maxLength: 8,
    },
  )
  .map(
    (entries): DesiredHosts =>
      new Map(
        entries.map(([host, age]) => [
          host,
          age === undefined ? undefined : fakeToken(`password-${age}`, now - age * hourMs),
        ]),
      ),
  );

describe('merging', () => {
  it('never loses a host, an entry or a valid token if none may be dropped, in any order of merges', () => {
    fc.assert(
      fc.property(fc.array(desired, { maxLength: 6 }), fc.integer({ min: 1, max: 6 }), (all, maxHosts) => {
        let content = emptyContent;
        for (const one of all) {
          const before = content;
          content = stored(mergeContent('team-a', before, one, rulesAt(now, maxHosts)).content);
          for (const [host, lifetime] of before.hosts) {
            assert.ok(content.hosts.has(host), `${host} is still there`);
            assert.ok(
              (content.hosts.get(host)?.expiresAt ?? 0) >= (lifetime?.expiresAt ?? 0),
              'its token expires no earlier',
            );
          }
          for (const host of before.auths.keys()) {
            assert.ok(content.auths.has(host), `the entry of ${host} is still there`);
          }
          assert.ok(content.hosts.size <= maxHosts);
        }
      }),
    );
  });

  it('drops only droppable hosts, only to make room, a valid token only for a token, and as few as needed', () => {
    const place = fc.constantFrom(...regions.map(hostOf));
    const content = fc
      .array(desired, { maxLength: 3 })
      .map((all) =>
        all.reduce(
          (before, one) => stored(mergeContent('team-a', before, one, rulesAt(now)).content),
          emptyContent,
        ),
      );
    fc.assert(
      fc.property(
        content,
        desired,
        fc.uniqueArray(place),
        fc.integer({ min: 1, max: 6 }),
        (before, more, may, max) => {
          const isValid = (host: string) => (before.hosts.get(host)?.expiresAt ?? 0) > now;
          const droppable: DroppableHost[] = may
            .filter((host) => !more.has(host))
            .map((host) => ({ host, valid: isValid(host) }));
          const merged = mergeContent('team-a', before, more, rulesAt(now, max), droppable);
          const { hosts, auths } = merged.content;
          const gone = [...before.hosts.keys()].filter((host) => !hosts.has(host));
          assert.deepEqual(gone.toSorted(), merged.dropped.toSorted(), 'every removed host is reported');
          const added = [...hosts.keys()].filter((host) => !before.hosts.has(host));
          for (const host of gone) {
            assert.ok(droppable.some((one) => one.host === host));
            assert.ok(!auths.has(host), 'its entry was removed, too');
            assert.ok(!isValid(host) || added.some((other) => more.get(other) !== undefined));
          }
          const atLeast = Math.max(0, before.hosts.size + added.length - max);
          assert.equal(gone.length, added.length === 0 ? 0 : atLeast);
          for (const host of more.keys()) {
            assert.ok(hosts.has(host) !== merged.refused.includes(host));
          }
        },
      ),
    );
  });

  it('drops a valid token only for a host that also has a token, and as few as needed', () => {
    const [waiting = '', valid = '', other = '', ...more] = regions.map(hostOf);
    const content = mergeContent(
      'team-a',
      emptyContent,
      new Map([
        [waiting, undefined],
        [valid, fakeToken('x', now)],
        [other, fakeToken('x', now)],
      ]),
      rulesAt(now, 3),
    ).content;
    const droppable = [
      { host: waiting, valid: false },
      { host: valid, valid: true },
      { host: other, valid: true },
    ];
    const [first = '', second = ''] = more;
    const merged = (desired: DesiredHosts) => {
      const { dropped, refused } = mergeContent('team-a', content, desired, rulesAt(now, 3), droppable);
      return { dropped, refused };
    };
    const token = fakeToken('y', now);
    assert.deepEqual(merged(new Map([[first, undefined]])), { dropped: [waiting], refused: [] });
    assert.deepEqual(merged(new Map([[first, token]])), { dropped: [waiting], refused: [] });
    const withoutTokens = new Map([
      [first, undefined],
      [second, undefined],
    ]);
    assert.deepEqual(merged(withoutTokens), { dropped: [waiting], refused: [second] });
    const withToken = new Map([
      [first, undefined],
      [second, token],
    ]);
    assert.deepEqual(merged(withToken), { dropped: [waiting, valid], refused: [] });
  });

  it('removes exactly the given hosts with their entries', () => {
    fc.assert(
      fc.property(desired, fc.uniqueArray(fc.constantFrom(...regions.map(hostOf))), (one, gone) => {
        const before = mergeContent('team-a', emptyContent, one, rulesAt(now)).content;
        const after = stored(omitHosts(before, new Set(gone)));
        const left = [...before.hosts.keys()].filter((host) => !gone.includes(host)).toSorted();
        assert.deepEqual([...after.hosts.keys()].toSorted(), left);
        assert.ok([...after.auths.keys(), ...after.requestedAt.keys()].every((host) => left.includes(host)));
      }),
    );
  });

  it('also makes room in bytes, and removes no host that frees none', () => {
    const large = (index: number) => `${String(index).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`;
    const all = Array.from(
      { length: 130 },
      (_, index) => [large(index), fakeToken('x'.repeat(6_000), now)] as const,
    );
    const { content, refused } = mergeContent('team-a', emptyContent, new Map(all), rulesAt(now, 250));
    const [newcomer = ''] = refused;
    const waiting = hostOf('sa-east-1');
    const before = mergeContent(
      'team-a',
      content,
      new Map([[waiting, undefined]]),
      rulesAt(now, 250),
    ).content;
    const merged = mergeContent(
      'team-a',
      before,
      new Map([[newcomer, fakeToken('x'.repeat(6_000), now)]]),
      rulesAt(now, 250),
      [
        { host: waiting, valid: false },
        { host: large(0), valid: true },
        { host: large(1), valid: true },
      ],
    );
    assert.deepEqual([merged.refused, merged.dropped], [[], [large(0)]]);
  });

  it('records once when a host was requested, and never in the future', () => {
    const host = hostOf('us-east-1');
    const waiting = new Map([[host, undefined]]);
    const first = stored(mergeContent('team-a', emptyContent, waiting, rulesAt(now)).content);
    assert.equal(first.requestedAt.get(host), now);
    const later = stored(mergeContent('team-a', first, waiting, rulesAt(now + hourMs)).content);
    assert.equal(later.requestedAt.get(host), now);
    const back = stored(mergeContent('team-a', first, waiting, rulesAt(now - hourMs)).content);
    assert.equal(back.requestedAt.get(host), now - hourMs);
    const filled = mergeContent(
      'team-a',
      first,
      new Map([[host, fakeToken('x', now)]]),
      rulesAt(now),
    ).content;
    assert.equal(filled.requestedAt.size, 0);
  });

  it('records no request time for a host with an entry that another writer added', () => {
    const host = hostOf('us-east-1');
    const own = { auth: btoa('me:mine') };
    const { content } = readContent(
      JSON.stringify({ auths: { [host]: own } }),
      `{"${host}":{"requestedAt":"2020-01-01"}}`,
      resolveRegistry,
    );
    assert.equal(content.requestedAt.size, 0);
    assert.equal(mergeContent('team-a', content, new Map(), rulesAt(now)).content.requestedAt.size, 0);
  });

  it('results in the union of hosts, in either order', () => {
    fc.assert(
      fc.property(desired, desired, (a, b) => {
        const ab = mergeContent(
          'team-a',
          mergeContent('team-a', emptyContent, a, rulesAt(now)).content,
          b,
          rulesAt(now),
        ).content;
        const ba = mergeContent(
          'team-a',
          mergeContent('team-a', emptyContent, b, rulesAt(now)).content,
          a,
          rulesAt(now),
        ).content;
        assert.deepEqual([...ab.hosts.keys()].sort(), [...ba.hosts.keys()].sort());
        assert.deepEqual(new Set(ab.hosts.keys()), new Set([...a.keys(), ...b.keys()]));
      }),
    );
  });

  it('changes nothing the second time', () => {
    fc.assert(
      fc.property(desired, desired, (a, b) => {
        const once = stored(
          mergeContent(
            'team-a',
            mergeContent('team-a', emptyContent, a, rulesAt(now)).content,
            b,
            rulesAt(now),
          ).content,
        );
        assert.deepEqual(stored(mergeContent('team-a', once, b, rulesAt(now)).content), once);
      }),
    );
  });

  it('replaces a token that is no longer fresh by a later one, and keeps a fresh one', () => {
    const host = hostOf('us-east-1');
    const old = mergeContent(
      'team-a',
      emptyContent,
      new Map([[host, fakeToken('old', now)]]),
      rulesAt(now),
    ).content;
    const later = new Map([[host, fakeToken('new', now + 7 * hourMs)]]);
    assert.equal(
      authOf(mergeContent('team-a', old, later, rulesAt(now + 7 * hourMs)).content.auths, host),
      btoa('AWS:new'),
    );
    const little = new Map([[host, fakeToken('new', now + hourMs)]]);
    assert.equal(
      authOf(mergeContent('team-a', old, little, rulesAt(now + hourMs)).content.auths, host),
      btoa('AWS:old'),
    );
  });

  it('replaces a fresh token by one that expires much later, but not by one that expires a little later', () => {
    const host = hostOf('us-east-1');
    const old = mergeContent(
      'team-a',
      emptyContent,
      new Map([[host, fakeToken('old', now)]]),
      rulesAt(now),
    ).content;
    const after = (hours: number) => {
      const desired = new Map([[host, fakeToken('new', now + hours * hourMs)]]);
      return authOf(mergeContent('team-a', old, desired, rulesAt(now + hours * hourMs)).content.auths, host);
    };
    assert.equal(after(2.9), btoa('AWS:old'));
    assert.equal(after(3), btoa('AWS:new'));
  });

  it('replaces a token of another identity, and names the identity of the new one', () => {
    const host = hostOf('us-east-1');
    const old = mergeContent(
      'team-a',
      emptyContent,
      new Map([[host, fakeToken('old', now)]]),
      rulesAt(now),
    ).content;
    const desired = new Map([[host, fakeToken('new', now, 12 * hourMs, 'role-a')]]);
    const { content } = mergeContent('team-a', stored(old), desired, rulesAt(now, 200, 'role-a'));
    assert.equal(authOf(content.auths, host), btoa('AWS:new'));
    assert.equal(stored(content).hosts.get(host)?.identity, 'role-a');
    const dead = new Map([[host, fakeToken('dead', now - 13 * hourMs, 12 * hourMs, 'role-b')]]);
    const kept = mergeContent('team-a', stored(content), dead, rulesAt(now, 200, 'role-b')).content;
    assert.equal(authOf(kept.auths, host), btoa('AWS:new'), 'an expired token replaces none');
  });

  it('keeps a fresh token of another identity that was issued after this replica learned of its own', () => {
    const host = hostOf('us-east-1');
    const before = new Map([[host, fakeToken('of-b', now, 12 * hourMs, 'role-b')]]);
    const old = mergeContent('team-a', emptyContent, before, rulesAt(now, 200, 'role-b')).content;
    const authAt = (at: number, identityKnownSince: number) => {
      const desired = new Map([[host, fakeToken('of-a', at, 12 * hourMs, 'role-a')]]);
      const rules = createTokenRules({
        ...{ freshness: { fraction: 0.5, floorMs: hourMs }, maxHosts: 200, now: () => at },
        ...{ identityOf: () => allow('role-a'), identityKnownSince: () => identityKnownSince },
      });
      return authOf(mergeContent('team-a', old, desired, rules).content.auths, host);
    };
    assert.equal(authAt(now + hourMs, now - hourMs), btoa('AWS:of-b'), 'its watch is behind');
    assert.equal(authAt(now + hourMs, now + 1), btoa('AWS:of-a'));
    assert.equal(
      authAt(now + 7 * hourMs, now - hourMs),
      btoa('AWS:of-a'),
      'the stored token is no longer fresh',
    );
  });

  it('keeps the stored token when the new one is of an identity that no longer applies', () => {
    const host = hostOf('us-east-1');
    const other = hostOf('us-west-2');
    const token = (password: string, identity?: string) => fakeToken(password, now, 12 * hourMs, identity);
    const rules = rulesAt(now + 7 * hourMs, 200, 'role-b');
    const old = mergeContent('team-a', emptyContent, new Map([[host, token('old')]]), rulesAt(now)).content;
    for (const identity of ['role-a', undefined]) {
      const desired = new Map([
        [host, token('new', identity)],
        [other, token('new', identity)],
      ]);
      const { content, refused } = mergeContent('team-a', stored(old), desired, rules);
      assert.equal(authOf(content.auths, host), btoa('AWS:old'));
      assert.deepEqual([...content.hosts.keys(), ...refused], [host, other]);
      assert.equal(content.hosts.get(other), undefined, 'a new host waits for its token');
    }
  });

  it('stores no token while it is not known which identity applies, and removes nothing', () => {
    const host = hostOf('us-east-1');
    const old = mergeContent('team-a', emptyContent, new Map([[host, fakeToken('old', now)]]), rulesAt(now));
    const rules = { ...rulesAt(now + 13 * hourMs), identityOf: () => unresolved };
    const desired = new Map([[host, fakeToken('new', now + 13 * hourMs)]]);
    assert.deepEqual(mergeContent('team-a', old.content, desired, rules).content, old.content);
  });

  it('removes denied hosts with their entries, also with valid tokens, and adds none', () => {
    const [host, other, more] = regions.map(hostOf) as [string, string, string];
    const tokens = new Map([host, other].map((name) => [name, fakeToken(name, now)]));
    const old = mergeContent('team-a', emptyContent, tokens, rulesAt(now)).content;
    const identityOf = (_namespace: string, name: string) => (name === other ? allow() : denied);
    const desired = new Map([host, more].map((name) => [name, fakeToken('new', now + 7 * hourMs)]));
    const merged = mergeContent('team-a', old, desired, { ...rulesAt(now + 7 * hourMs), identityOf });
    assert.deepEqual([...merged.content.hosts.keys()], [other]);
    assert.deepEqual([...merged.content.auths.keys()], [other]);
    assert.deepEqual(merged.denied, [{ host, rule: denied.rule }]);
    assert.deepEqual([merged.dropped, merged.refused], [[], []]);
  });

  it('removes no other host to make room that a denied one leaves', () => {
    const [host, other, more] = regions.map(hostOf) as [string, string, string];
    const tokens = new Map([host, other].map((name) => [name, fakeToken(name, now)]));
    const old = mergeContent('team-a', emptyContent, tokens, rulesAt(now)).content;
    const identityOf = (_namespace: string, name: string) => (name === host ? denied : allow());
    const desired = new Map([[more, fakeToken('new', now)]]);
    const droppable = [host, other].map((name) => ({ host: name, valid: true }));
    const merged = mergeContent('team-a', old, desired, { ...rulesAt(now, 2), identityOf }, droppable);
    assert.deepEqual([[...merged.content.hosts.keys()], merged.dropped], [[other, more], []]);
  });

  it('replaces a token of a clock that was ahead by a new one', () => {
    const host = hostOf('us-east-1');
    const ahead = new Map([[host, fakeToken('ahead', now + 7 * hourMs)]]);
    const old = mergeContent('team-a', emptyContent, ahead, rulesAt(now + 7 * hourMs)).content;
    const { auths } = mergeContent(
      'team-a',
      old,
      new Map([[host, fakeToken('new', now)]]),
      rulesAt(now),
    ).content;
    assert.equal(authOf(auths, host), btoa('AWS:new'));
  });

  it('refuses new hosts beyond the maximum, and keeps the old ones', () => {
    const three = new Map(regions.slice(0, 3).map((region) => [hostOf(region), undefined]));
    const { content } = mergeContent('team-a', emptyContent, three, rulesAt(now, 3));
    const more = mergeContent(
      'team-a',
      content,
      new Map([[hostOf('sa-east-1'), fakeToken('x', now)]]),
      rulesAt(now, 3),
    );
    assert.deepEqual(more.refused, [hostOf('sa-east-1')]);
    assert.deepEqual(more.content, content);
  });

  it('never reaches 1 MiB, however long the tokens are', () => {
    const large = new Map(
      Array.from({ length: 250 }, (_, index) => [
        `${String(index).padStart(12, '0')}.dkr.ecr.us-east-1.amazonaws.com`,
        fakeToken('x'.repeat(6_000), now),
      ]),
    );
    const { content, refused } = mergeContent('team-a', emptyContent, large, rulesAt(now, 250));
    assert.ok(refused.length > 0);
    assert.equal(content.hosts.size + refused.length, 250);
    const bytes = Buffer.byteLength(formatDockerConfig(content.auths));
    assert.ok(bytes > 950_000 && bytes <= 1_000_000, `${bytes} bytes`);
  });
});

describe('content that another writer changed', () => {
  const host = hostOf('us-east-1');
  const entry = { auth: btoa('AWS:x') };
  const annotation = formatHosts(new Map([[host, { issuedAt: now, expiresAt: now + 12 * hourMs }]]));

  it('keeps entries that a user added', () => {
    const { content } = readContent(
      JSON.stringify({ auths: { 'registry.example': entry, [host]: entry } }),
      annotation,
      resolveRegistry,
    );
    assert.deepEqual([...content.auths.keys()].sort(), [host, 'registry.example']);
    assert.deepEqual([...content.hosts.keys()], [host]);
  });

  it('treats a host without its entry as waiting for a token', () => {
    const { content } = readContent('{"auths":{}}', annotation, resolveRegistry);
    assert.deepEqual([...content.hosts], [[host, undefined]]);
  });

  it('treats a host that is missing in the annotation as waiting for a token, and keeps its entry', () => {
    const { content } = readContent(JSON.stringify({ auths: { [host]: entry } }), undefined, resolveRegistry);
    assert.deepEqual([...content.hosts], [[host, undefined]]);
    assert.equal(content.auths.get(host), JSON.stringify(entry));
  });

  for (const broken of [
    { auth: 'no base64!' },
    { auth: btoa('without colon') },
    { auth: 'dTpw ' },
    { auth: 7 },
    { username: 1 },
    { Auth: '!!!' },
    'text',
    [],
  ]) {
    it(`skips an entry that would break every pull: ${JSON.stringify(broken)}`, () => {
      const { content, malformed } = readContent(
        JSON.stringify({ auths: { 'a.example': broken, [host]: entry } }),
        annotation,
        resolveRegistry,
      );
      assert.deepEqual([...content.auths.keys()], [host]);
      assert.deepEqual(
        malformed.map(({ path }) => path),
        ['auths["a.example"]'],
      );
    });
  }

  for (const accepted of [
    null,
    {},
    { username: 'u', password: 'p', email: null, auth: 'dTpw' },
    { AUTH: 'dTpw' },
    { auth: 'dT\npw' },
  ]) {
    it(`keeps an entry that the kubelet accepts: ${JSON.stringify(accepted)}`, () => {
      const { content, malformed } = readContent(
        JSON.stringify({ auths: { a: accepted } }),
        annotation,
        resolveRegistry,
      );
      assert.equal(content.auths.get('a'), JSON.stringify(accepted ?? {}));
      assert.deepEqual(malformed, []);
    });
  }

  it('keeps fields that the kubelet does not know, with every digit', () => {
    const kept = '{"auth":"dTpw","identitytoken":"x","numbers":[12345678901234567890,1e20,-0,1.50,1e999,7]}';
    const { content } = readContent(`{"auths":{"a":${kept}}}`, undefined, resolveRegistry);
    assert.equal(formatDockerConfig(content.auths), `{"auths":{"a":${kept}}}`);
  });

  it('keeps a field that is nested as deeply as the kubelet accepts', () => {
    const kept = `{"auth":"dTpw","x":${'['.repeat(9_997)}${']'.repeat(9_997)}}`;
    const { content, malformed } = readContent(`{"auths":{"a":${kept}}}`, undefined, resolveRegistry);
    assert.equal(formatDockerConfig(content.auths), `{"auths":{"a":${kept}}}`);
    assert.deepEqual(malformed, []);
  });

  it('costs little more than JSON.parse, so that a user who edits a Secret of 1 MiB delays no pod', () => {
    for (const item of ['1', '1.50', '[]', '"\\""']) {
      const items = Array.from({ length: 1_000_000 / (item.length + 1) }, () => item).join();
      const text = `{"auths":{"a":{"auth":"dTpw","x":[${items}]}}}`;
      const parsing = measureMinCpuMs(() => JSON.parse(text));
      const rewriting = measureMinCpuMs(() =>
        formatDockerConfig(readContent(text, undefined, resolveRegistry).content.auths),
      );
      assert.ok(
        rewriting < 20 * parsing,
        `${item}: ${rewriting} ms of CPU, and ${parsing} ms for JSON.parse`,
      );
    }
  });

  for (const blank of [null, {}, { auth: '' }, { auth: btoa(':') }, { username: '', email: 'e' }]) {
    it(`treats a host whose entry has no credentials as waiting for a token: ${JSON.stringify(blank)}`, () => {
      const { content } = readContent(
        JSON.stringify({ auths: { [host]: blank } }),
        annotation,
        resolveRegistry,
      );
      assert.deepEqual([...content.hosts], [[host, undefined]]);
    });
  }

  it('reports fields other than "auths", because they are not written back', () => {
    const text = JSON.stringify({ HttpHeaders: { x: 1 }, auths: { a: entry }, [host]: entry });
    const { content, malformed } = readContent(text, undefined, resolveRegistry);
    assert.deepEqual([...content.auths.keys()], ['a']);
    assert.deepEqual(
      malformed.map(({ path }) => path),
      ['"HttpHeaders"', `"${host}"`],
    );
  });

  it('causes no report if the document has no entries', () => {
    for (const text of ['{}', 'null', '{"auths":null}', '{"auths":{}}']) {
      assert.deepEqual(readContent(text, undefined, resolveRegistry).malformed, [], text);
    }
  });

  for (const text of [undefined, '', '[]', '{"auths":[]}', '{"auths":3}', 'garbage']) {
    it(`loses no host because of ${text === undefined ? 'a missing document' : JSON.stringify(text)}`, () => {
      const { content, malformed } = readContent(text, annotation, resolveRegistry);
      assert.deepEqual([...content.hosts], [[host, undefined]]);
      assert.equal(malformed.length, 1);
    });
  }

  it('causes a limited number of short reports, whatever fills the megabyte of a Secret', () => {
    const name = (index: number) => `${index}.${'x'.repeat(1_000)}`;
    const auths = Object.fromEntries(Array.from({ length: 800 }, (_, index) => [name(index), 1]));
    const { malformed } = readContent(JSON.stringify({ auths }), undefined, resolveRegistry);
    assert.equal(malformed.length, 10);
    assert.ok(malformed.every(({ path }) => path.length < 150));
  });

  it('names no more hosts than are read from an annotation, and keeps every entry', () => {
    const letters = (index: number) =>
      [...String(index)].map((digit) => 'abcdefghij'[Number(digit)]).join('');
    const hosts = Array.from({ length: 1_000 }, (_, index) => hostOf(`us-${letters(index)}-1`));
    const auths = Object.fromEntries(hosts.map((one) => [one, entry]));
    const { content } = readContent(JSON.stringify({ auths }), annotation, resolveRegistry);
    assert.deepEqual([content.hosts.size, content.auths.size], [maxParsedHosts, 1_000]);
    assert.ok(content.hosts.has(host), 'hosts of the annotation come first');
  });

  it('never makes readContent throw', () => {
    fc.assert(
      fc.property(fc.json(), fc.json(), (json, text) => {
        readContent(json, text, resolveRegistry);
      }),
    );
  });
});
