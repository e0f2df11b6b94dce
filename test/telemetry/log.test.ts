// Tests the form of log lines: one line of bounded JSON without credentials, whatever is logged.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { Token } from '../../src/ecr/token.ts';
import { createJsonLog, type Log } from '../../src/telemetry/log.ts';
import { serializeError } from '../../src/telemetry/log-fields.ts';
import { describeReview } from '../../src/webhook/review-log.ts';
import { credentials, randomBase64 } from './credential-generators.ts';

const token = btoa(`AWS:${'canary0'.repeat(300)}`);

/** Container runtimes split longer lines. */
const maxLineBytes = 16_384;

function logged(write: (log: Log) => void, level = 'info'): string[] {
  const lines: string[] = [];
  write(createJsonLog(level, { write: (line) => lines.push(line) }));
  return lines;
}

/** The only line, which is always JSON of bounded size on exactly one line. */
function onlyLine(write: (log: Log) => void): string {
  const lines = logged(write);
  assert.equal(lines.length, 1);
  const line = lines[0] ?? '';
  assert.equal(line.indexOf('\n'), line.length - 1);
  assert.doesNotThrow(() => JSON.parse(line), line);
  assert.equal(Buffer.from(line).toString(), line, 'it is well-formed Unicode');
  assert.ok(Buffer.byteLength(line) <= maxLineBytes, `${Buffer.byteLength(line)} bytes`);
  return line;
}

function loggedPod(pod: string): Record<string, unknown> {
  const subject = { uid: 'u', namespace: 'shop', operation: 'CREATE', resource: 'pods', pod };
  return JSON.parse(
    onlyLine((log) =>
      log.info(describeReview(subject, 'injected', 'ecr-image', []), 'handled admission request'),
    ),
  );
}

describe('the log', () => {
  it('is one JSON object per line, with level, time and message', () => {
    const [line = ''] = logged((log) => log.info({ namespace: 'a' }, 'hello'));
    assert.ok(line.endsWith('\n'));
    const { time, ...rest } = JSON.parse(line);
    assert.deepEqual(rest, { level: 'info', namespace: 'a', msg: 'hello' });
    assert.ok(!Number.isNaN(Date.parse(time)));
  });

  it('shows the type, code and message of an error, and none of its other properties', () => {
    const error = Object.assign(new Error('refused', { cause: new Error('cause-canary') }), {
      code: 'forbidden',
      body: 'body-canary',
      $response: { headers: { authorization: 'header-canary' } },
    });
    for (const fields of [{ err: error }, { other: error }, { nested: [{ error }] }]) {
      const [line = ''] = logged((log) => log.error(fields, 'failed'));
      assert.ok(line.includes('{"type":"Error","code":"forbidden","message":"refused"}'));
      assert.ok(!line.includes('canary'));
    }
  });

  it('shows the stack of an error without a code, which is a bug', () => {
    const [line = ''] = logged((log) => log.error({ err: new TypeError('bug') }, 'failed'));
    assert.match(JSON.parse(line).err.stack, /log\.test\.ts/);
  });

  it('accepts an error alone, a message alone, and placeholders', () => {
    const message = (write: (log: Log) => void) => JSON.parse(onlyLine(write)).msg;
    assert.equal(
      message((log) => log.error(new Error('refused'))),
      'refused',
    );
    assert.equal(
      message((log) => log.info('hello')),
      'hello',
    );
    assert.equal(
      message((log) => log.info('%s of %d', 'one', 2)),
      'one of 2',
    );
    assert.equal(
      message((log) => log.info('%sEXAMPLEEXAMPLE12', 'AKIA')),
      '[redacted]',
    );
  });

  const canaries: [string, (log: Log) => void][] = [
    ['as a field', (log) => log.info({ token }, 'x')],
    ['deep in a field', (log) => log.info({ a: { b: [{ c: token }] } }, 'x')],
    ['as a key', (log) => log.info({ a: { [token]: 1 } }, 'x')],
    ['in the message', (log) => log.info(`got ${token}`)],
    ['in an error', (log) => log.info({ err: new Error(`bad ${token}`) }, 'x')],
    ['in an error alone', (log) => log.error(new Error(`bad ${token}`))],
    ['in an err field that is not an error', (log) => log.info({ err: `bad ${token}` }, 'x')],
    ['as a Token', (log) => log.info({ token: new Token(token, { issuedAt: 0, expiresAt: 1 }) }, 'x')],
    ['as bytes', (log) => log.info({ token: Buffer.from(token) }, 'x')],
    ['as the result of toJSON', (log) => log.info({ a: { toJSON: () => ({ token }) } }, 'x')],
  ];
  for (const [where, write] of canaries) {
    it(`never shows a token: ${where}`, () => {
      const text = onlyLine(write);
      assert.ok(!text.includes(token.slice(0, 40)));
      assert.ok(!text.includes('canary0canary0'));
    });
  }

  it('has no child loggers, whose bindings would bypass the hook', () => {
    // @ts-expect-error not offered
    assert.equal(typeof createJsonLog('info', { write: () => undefined }).child, 'function');
  });
});

describe('untrusted names', () => {
  it('cannot result in a line that is not JSON', () => {
    assert.equal(loggedPod(`x\n${'a'.repeat(120)}`)['pod'], `x\n${'a'.repeat(120)}`);
    assert.equal(loggedPod(`"x\\n"${'Aa0'.repeat(40)}`)['pod'], '"x\\n"[redacted]');
  });

  it('cannot hide an access key id behind an escape', () => {
    for (const before of ['x\n', 'x\\n', 'x_', '\t', '\u0000', 'https://host/?key=']) {
      const { pod } = loggedPod(`${before}AKIAEXAMPLEEXAMPLE12`);
      assert.equal(pod, `${before}[redacted]`);
    }
  });

  it('stay readable up to the longest valid one', () => {
    for (const name of ['a'.repeat(253), `${'a0-'.repeat(84)}z`, `${'x'.repeat(63)}.`.repeat(3)]) {
      assert.equal(loggedPod(name)['pod'], name);
    }
  });

  it('are cut after 1,024 characters, with the number of missing ones', () => {
    const name = 'some words '.repeat(263_000);
    const { pod } = loggedPod(name);
    assert.equal(pod, `${name.slice(0, 1024)}[${name.length - 1024} more characters]`);
    assert.match(String(loggedPod('a'.repeat(2_900_000))['pod']), /^.{0,1024}\[\d+ more characters\]$/);
  });

  it('are never cut inside a character or a credential', () => {
    assert.match(String(loggedPod(`x${'😀'.repeat(600)}`)['pod']), /^x(😀){511}\[178 more characters\]$/u);
    for (const space of [1000, 1023, 4090]) {
      const text = onlyLine((log) => log.info({ name: `${'- '.repeat(space / 2)}${token} x` }, 'x'));
      assert.ok(!text.includes(token.slice(0, 20)));
    }
  });

  it('show no beginning of a credential at the end of the scrubbed part', () => {
    const second = randomBase64(1);
    const line = onlyLine((log) => log.info({ name: `${'Aa0'.repeat(1_350)} ${second}` }, 'x'));
    assert.ok(!line.includes(second.slice(0, 20)));
  });

  it('cannot deceive a terminal or a reader', () => {
    const deceptive = '\u001b[2J\u009b31m\u202egnp\u2028\u200b\u007f\ufeff\ud800';
    const line = onlyLine((log) => log.info({ name: deceptive }, deceptive));
    // biome-ignore lint/suspicious/noControlCharactersInRegex: the pattern matches them
    assert.doesNotMatch(line.trimEnd(), /[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff\ufffd]/);
    assert.equal(
      JSON.parse(line).name,
      '\u001b[2J<U+009B>31m<U+202E>gnp<U+2028><U+200B><U+007F><U+FEFF><U+D800>',
    );
  });
});

describe('a logged value', () => {
  it('is bounded in length, breadth and depth, with marks for what is omitted', () => {
    const line = (fields: object) => JSON.parse(onlyLine((log) => log.info(fields, 'x')));
    const hosts = line({ hosts: Array.from({ length: 136 }, (_, at) => `host-${at}`) }).hosts;
    assert.deepEqual([hosts.length, hosts[99], hosts[100]], [101, 'host-99', '[36 more]']);
    const wide = line({ wide: Object.fromEntries(Array.from({ length: 300 }, (_, at) => [`k${at}`, at])) });
    assert.equal(wide.wide['[more]'], 200);
    assert.equal(line({ a: { b: { c: { d: { e: { f: { g: {} } } } } } } }).a.b.c.d.e.f.g, '[object]');
    const large = line({ missing: Array.from({ length: 90 }, () => ({ host: 'some words '.repeat(90) })) });
    assert.match(large.missing.at(-1), /^\[8\d more\]$/);
    assert.match(line({ ['k'.repeat(9_000)]: 1, ['K e y'.repeat(900)]: 2 }).msg, /^x$/);
  });

  it('fits into a line at all limits', () => {
    const wide = '\u0001'.repeat(5_000);
    onlyLine((log) =>
      log.error(
        {
          err: Object.assign(new Error(wide), { stack: wide }),
          list: Array(200).fill({ [wide]: wide }),
          wide,
        },
        wide,
      ),
    );
    onlyLine((log) => log.error({ list: Array(200).fill([[[[['x'.repeat(253)]]]]]) }, '€ '.repeat(5_000)));
  });

  it('never makes a logging call throw', () => {
    const circular: Record<string, unknown> = {};
    circular['self'] = [circular];
    const boom = () => {
      throw new Error('boom');
    };
    const throwing = new Proxy({}, { get: boom, ownKeys: boom, getPrototypeOf: boom, has: boom });
    const { proxy: revoked, revoke } = Proxy.revocable([], {});
    revoke();
    const hostile: unknown[] = [
      circular,
      throwing,
      revoked,
      { toString: 1, valueOf: 1 },
      { toString: boom, toJSON: boom },
      Object.defineProperty({}, 'x', { get: boom, enumerable: true }),
      Object.create(null),
      10n ** 5_000n,
      2n ** 1_000_000n,
      Symbol('s'),
      boom,
      Number.NaN,
      new Date(Number.NaN),
      new Array(1e9),
      new Uint8Array(1e7),
      new Map([[{}, {}]]),
      new String('x'),
      JSON.parse('{"__proto__":{"toString":1,"x":1}}'),
      { method: 'GET', headers: {}, socket: {}, setHeader: boom },
      { err: { message: { toString: 1 } }, msg: { toString: 1 }, time: throwing },
      Object.assign(new Error('x'), { code: { toString: 1 }, name: throwing, message: throwing, stack: 7n }),
      Object.assign(new Error('x'), { toString: 1, code: Object.create(null) }),
      new Proxy(new Error('x'), { get: boom, getPrototypeOf: boom }),
    ];
    const once = { get: () => (reads++ === 0 ? 'x' : boom()), enumerable: true };
    let reads = 0;
    assert.equal(JSON.parse(onlyLine((log) => log.info(Object.defineProperty({}, 'x', once), 'm'))).msg, 'm');
    for (const value of hostile) {
      onlyLine((log) => log.error({ value, list: [value] }, 'x'));
      onlyLine((log) => log.error({ err: value }, 'x'));
      onlyLine((log) => log.error(value as object, value as string));
      onlyLine((log) => log.error('%s %d %j %o', ...([value, value, value, value] as unknown as [])));
      assert.doesNotThrow(() => serializeError(value));
      for (const text of Object.values(serializeError(value))) {
        assert.equal(typeof text, 'string');
      }
    }
  });

  it('treats neither an error nor single characters as fields', () => {
    const error = JSON.parse(
      onlyLine((log) => log.error(Object.assign(new Error('m'), { code: 'c', x: 'y' }))),
    );
    assert.deepEqual(error.err, { type: 'Error', code: 'c', message: 'm' });
    for (const fields of [new String(token), [...token]]) {
      const line = onlyLine((log) => log.error(fields, 'x'));
      assert.ok(line.length < 2_000, line);
    }
  });

  it('keeps a code that is a string or a number, and treats an error with another code as a bug', () => {
    const withCode = (code: unknown) => serializeError(Object.assign(new Error('x'), { code }));
    assert.deepEqual(withCode('EPIPE'), { type: 'Error', code: 'EPIPE', message: 'x' });
    assert.deepEqual(withCode(409), { type: 'Error', code: '409', message: 'x' });
    assert.ok('stack' in withCode({ toString: 1 }));
  });

  it('is one line of bounded, valid JSON without the credential that it contained', () => {
    const anything = fc.anything({
      maxDepth: 4,
      withBigInt: true,
      withBoxedValues: true,
      withDate: true,
      withMap: true,
      withNullPrototype: true,
      withObjectString: true,
      withSet: true,
      withSparseArray: true,
      withTypedArray: true,
    });
    const text = fc.string({ unit: 'binary', maxLength: 40 });
    const places: readonly ((at: string, other: unknown, log: Log) => void)[] = [
      (at, other, log) => log.info({ other, at }, 'x'),
      (at, other, log) => log.info({ at, other }, 'x'),
      (at, other, log) => log.info({ list: [other, [{ host: at }]] }, 'x'),
      (at, other, log) => log.info({ [at]: other }, 'x'),
      (at, other, log) => log.info({ other, a: { [at]: { [at]: at } } }, at),
      (at, other, log) => log.info(at, ...([other] as unknown as [])),
      (at, other, log) => log.info({ other }, '%s', ...([at] as unknown as [])),
      (at, other, log) => log.error(Object.assign(new Error(at), { code: other })),
      (at, other, log) => log.error({ err: Object.assign(new Error('x'), { name: at, stack: at }), other }),
      (at, other, log) => log.error({ err: at, other }),
      (at, other, log) => log.error({ err: other, errors: [new Error(at)] }, at),
      (at, other, log) => log.warn({ a: { toJSON: () => [other, at] } }),
    ];
    fc.assert(
      fc.property(
        credentials,
        fc.constantFrom(...places),
        anything,
        text,
        text,
        fc.constantFrom(0, 0, 0, 950, 1020, 4080, 9000),
        (credential, place, other, before, after, far) => {
          const planted = `${'- '.repeat(far / 2)}${before}${credential.text}${after}`;
          const line = onlyLine((log) => place(planted, other, log));
          for (const secret of credential.secrets) {
            assert.ok(!line.includes(secret), `${credential.kind} shows`);
          }
        },
      ),
      { numRuns: 2_000 },
    );
  });

  it('is unchanged if it contains no credential', () => {
    const digest = createHash('sha512').update('x').digest('hex');
    for (const text of [
      `123456789012.dkr.ecr.eu-central-1.amazonaws.com:443/team/App_1@sha512:${digest}`,
      'arn:aws:iam::123456789012:role/Some/Path/With/Long/Names/ecr-pull-role-of-the-Production-cluster-1',
      'apply Secret some-quite-long-namespace-name/ecr-pull-secrets: forbidden',
    ]) {
      assert.equal(JSON.parse(onlyLine((log) => log.info({ text }, 'x'))).text, text);
    }
    assert.equal(randomBase64(7).length, 176);
  });
});
