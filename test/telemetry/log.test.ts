import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { jsonLog } from '../../src/telemetry/log.ts';
import { scrub } from '../../src/telemetry/scrub.ts';
import { Token } from '../../src/tokens/token.ts';

const token = btoa(`AWS:${'canary0'.repeat(300)}`);

function logged(write: (log: ReturnType<typeof jsonLog>) => void, level = 'info'): string[] {
  const lines: string[] = [];
  write(jsonLog(level, { write: (line) => lines.push(line) }));
  return lines;
}

describe('the log', () => {
  it('is one JSON object a line, with level, time and message', () => {
    const [line = ''] = logged((log) => log.info({ namespace: 'a' }, 'hello'));
    assert.ok(line.endsWith('\n'));
    const { time, ...rest } = JSON.parse(line);
    assert.deepEqual(rest, { level: 'info', namespace: 'a', msg: 'hello' });
    assert.ok(!Number.isNaN(Date.parse(time)));
  });

  it('shows of an error its kind, code and message, and nothing that hangs on it', () => {
    const error = Object.assign(new Error('refused', { cause: new Error('cause-canary') }), {
      code: 'forbidden',
      body: 'body-canary',
      $response: { headers: { authorization: 'header-canary' } },
    });
    const [line = ''] = logged((log) => log.error({ err: error }, 'failed'));
    assert.deepEqual(JSON.parse(line).err, { type: 'Error', code: 'forbidden', message: 'refused' });
    assert.ok(!line.includes('canary'));
  });

  it('shows the stack of an error without a code, which is a bug', () => {
    const [line = ''] = logged((log) => log.error({ err: new TypeError('bug') }, 'failed'));
    assert.match(JSON.parse(line).err.stack, /log\.test\.ts/);
  });

  const canaries: [string, (log: ReturnType<typeof jsonLog>) => void][] = [
    ['as a field', (log) => log.info({ token }, 'x')],
    ['deep in a field', (log) => log.info({ a: { b: [{ c: token }] } }, 'x')],
    ['in the message', (log) => log.info(`got ${token}`)],
    ['in an error', (log) => log.info({ err: new Error(`bad ${token}`) }, 'x')],
    ['in an error alone', (log) => log.error(new Error(`bad ${token}`))],
    ['in what is no error', (log) => log.info({ err: `bad ${token}` }, 'x')],
    ['as a Token', (log) => log.info({ token: new Token(token, { issuedAt: 0, expiresAt: 1 }) }, 'x')],
    ['in a child', (log) => log.child({ token }).info('x')],
  ];
  for (const [where, write] of canaries) {
    it(`never shows a token: ${where}`, () => {
      const text = logged(write).join('');
      assert.doesNotThrow(() => JSON.parse(text));
      assert.ok(!text.includes(token.slice(0, 40)));
      assert.ok(!text.includes('canary0canary0'));
    });
  }
});

describe('scrubbing', () => {
  it('takes out tokens and AWS key ids wherever they stand', () => {
    assert.equal(
      scrub(`a ${token} b AKIAEXAMPLEEXAMPLE12, ASIAEXAMPLEEXAMPLE12`),
      'a [redacted] b [redacted], [redacted]',
    );
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), fc.string({ unit: 'grapheme' }), (before, after) => {
        assert.ok(!scrub(`${before}${token}${after}`).includes(token.slice(10, 110)));
      }),
    );
  });

  it('leaves hosts, ARNs, digests and paths alone', () => {
    for (const text of [
      '123456789012.dkr-ecr-fips.us-gov-west-1.on.aws:443/team/app@sha256:'.padEnd(130, '0'),
      'arn:aws:sts::123456789012:assumed-role/ecr-pull-role-of-the-production-cluster/ecr-pull-secrets',
      'apply Secret some-quite-long-namespace-name/ecr-pull-secrets: forbidden',
    ]) {
      assert.equal(scrub(text), text);
    }
  });
});
