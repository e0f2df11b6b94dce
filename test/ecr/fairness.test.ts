// Made-up regions of one namespace do not delay other namespaces.
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { eventually } from '../support/eventually.ts';
import { getTokenError, hourMs, registry, startAwsTokensFixture } from './token-fixtures.ts';

/** Returns registries in regions that do not exist. */
function madeUp(count: number) {
  return Array.from({ length: count }, (_, index) =>
    registry(`xx-made${String.fromCharCode(97 + (index % 26))}-${(index % 99) + 1}`),
  );
}

/** Timeouts that are long enough for calls to hang on a busy machine. */
const timeouts = { connectMs: 2_000, requestMs: 60_000 };

describe('a namespace with many regions that do not exist', () => {
  it('has two calls in flight, and does not delay a new region of another namespace', async () => {
    await using aws = await startAwsTokensFixture({ timeouts });
    const gate = aws.double.hold({ region: 'eu-west-1' });
    const held = madeUp(12).map(({ region }) => aws.double.hold({ region }));
    const waiting = () => held.reduce((sum, one) => sum + one.waiting, 0);
    const results = madeUp(12).map((one) =>
      aws.tokens.get('attacker', one).then(
        () => 'token',
        ({ code }) => code,
      ),
    );
    await eventually('two calls are in flight', () => waiting() === 2);
    const other = aws.tokens.get('other', registry('eu-west-1'));
    await eventually("the other namespace's call is in flight", () => gate.waiting === 1);
    gate.open();
    await other;
    assert.equal(waiting(), 2);
    for (const one of held) {
      one.open();
    }
    await Promise.all(results);
  });

  it('is refused further calls, and other namespaces are not', async () => {
    await using aws = await startAwsTokensFixture();
    aws.double.fail('reset');
    const outcomes = await Promise.all(
      madeUp(50).map((one) => getTokenError(aws.tokens.get('attacker', one))),
    );
    const refused = outcomes.filter(({ code }) => code === 'too-many-regions');
    assert.equal(aws.countTokenCalls(), 10);
    assert.equal(refused.length, 40);
    assert.deepEqual([refused[0]?.permanent, refused[0]?.retryAt], [false, undefined]);
    aws.double.heal();
    await aws.tokens.get('other', registry('eu-west-1'));
  });

  it('causes at most 12 calls per minute after that', async () => {
    let monotonic = 0;
    await using aws = await startAwsTokensFixture({ monotonicNow: () => monotonic });
    aws.double.fail('reset');
    const askAll = () => Promise.all(madeUp(90).map((one) => getTokenError(aws.tokens.get('attacker', one))));
    await askAll();
    const before = aws.countTokenCalls();
    for (let second = 0; second < 60; second += 1) {
      monotonic += 1_000;
      await askAll();
    }
    assert.equal(aws.countTokenCalls() - before, 12);
  });

  it('does not delay a region that another namespace waits for too', async () => {
    await using aws = await startAwsTokensFixture({ timeouts });
    const gates = madeUp(2).map(({ region }) => aws.double.hold({ region }));
    const existing = registry('eu-west-1');
    const all = [...madeUp(2), existing].map((one) => aws.tokens.get('attacker', one));
    await eventually('the attacker has its two calls in flight', () =>
      gates.every((gate) => gate.waiting === 1),
    );
    await aws.tokens.get('other', existing);
    assert.deepEqual(
      aws.double.issued.map(({ region }) => region),
      ['eu-west-1'],
    );
    for (const gate of gates) {
      gate.open();
    }
    await Promise.all(all);
  });
});

describe('an existing region', () => {
  it('does not wait for any number of namespaces with made-up regions', async () => {
    await using aws = await startAwsTokensFixture({ timeouts });
    await aws.tokens.get('team', registry('eu-west-1'));
    const regions = madeUp(20);
    const gates = regions.map(({ region }) => aws.double.hold({ region }));
    const slow = regions.map((one, index) => aws.tokens.get(`attacker-${index}`, one));
    await eventually('16 of them hang', () => gates.filter((gate) => gate.waiting === 1).length === 16);
    aws.pass(7 * hourMs);
    await aws.tokens.get('team', registry('eu-west-1'));
    assert.equal(aws.double.issued.filter(({ region }) => region === 'eu-west-1').length, 2);
    for (const gate of gates) {
      gate.open();
    }
    await Promise.all(slow);
  });

  it('that a Secret claims or the configuration names does not wait for them after a restart either', async () => {
    const standings = { 'eu-west-1': 'claimed', 'eu-west-2': 'proven' } as const;
    await using aws = await startAwsTokensFixture({
      timeouts,
      getEndpointTrust: ({ region }) => standings[region as keyof typeof standings] ?? 'unproven',
    });
    const regions = madeUp(20);
    const gates = regions.map(({ region }) => aws.double.hold({ region }));
    const slow = regions.map((one, index) => aws.tokens.get(`attacker-${index}`, one));
    await eventually('16 of them hang', () => gates.filter((gate) => gate.waiting === 1).length === 16);
    await aws.tokens.get('team', registry('eu-west-1'));
    await aws.tokens.get('team', registry('eu-west-2'));
    for (const gate of gates) {
      gate.open();
    }
    await Promise.all(slow);
  });

  it('keeps its failure and its backoff while made-up regions fail', async () => {
    await using aws = await startAwsTokensFixture({ maxKeys: 1 });
    await aws.tokens.get('team', registry('eu-west-1'));
    aws.pass(13 * hourMs);
    aws.double.fail('reset');
    await getTokenError(aws.tokens.get('team', registry('eu-west-1')));
    for (const one of madeUp(3)) {
      await getTokenError(aws.tokens.get('attacker', one));
    }
    assert.equal(aws.tokens.getFailure('team', registry('eu-west-1'))?.error.code, 'network');
  });
});

describe('an endpoint that hangs', () => {
  it('times out sooner if only an image names it', async () => {
    await using aws = await startAwsTokensFixture({
      timeouts: { connectMs: 500, requestMs: 60_000, totalMs: 8_000 },
    });
    aws.double.fail('hang', { region: 'eu-west-1' });
    const failure = await getTokenError(aws.tokens.get('team', registry('eu-west-1')));
    assert.equal(failure.code, 'timeout');
    // a quarter of the total timeout, and some time on a busy machine
    assert.ok((aws.calls[0]?.durationMs ?? 0) < 7_000);
  });
});

describe('a disabled region', () => {
  it('causes the credentials to be read again at most once per minute, although it rejects valid ones', async () => {
    await using aws = await startAwsTokensFixture();
    let reads = 0;
    const { AWS_ACCESS_KEY_ID: id = '' } = aws.double.env();
    Object.defineProperty(process.env, 'AWS_ACCESS_KEY_ID', {
      configurable: true,
      enumerable: true,
      get: () => {
        reads += 1;
        return id;
      },
    });
    aws.double.fail({ error: 'UnrecognizedClientException' });
    for (const one of madeUp(8)) {
      await getTokenError(aws.tokens.get('attacker', one));
    }
    assert.ok(reads <= 2, `read ${reads} times`);
  });
});
