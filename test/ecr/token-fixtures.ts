// Registries, and a token source with the real SDK, the ECR double and a clock that the test advances.
import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { type AwsTokenSourceOptions, createAwsTokenSource } from '../../src/ecr/aws-token-source.ts';
import { type IdentityFacts, unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver, type IdentityRule } from '../../src/ecr/identity-rules.ts';
import type { Registry } from '../../src/ecr/registry.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import type { TokenCall, TokenSource } from '../../src/ecr/token-source.ts';
import { type EcrDouble, type EcrDoubleOptions, startEcrDouble } from '../doubles/ecr/ecr-double.ts';
import { registryOfHost } from '../support/registries.ts';

export const hourMs = 3_600_000;

/** The registry of an account and region; `kind` is what stands for `dkr.ecr`. */
export function registry(region = 'eu-west-1', account = '123456789012', kind = 'dkr.ecr'): Registry {
  const suffix = kind.startsWith('dkr-') ? 'on.aws' : 'amazonaws.com';
  return registryOfHost(`${account}.${kind}.${region}.${suffix}`);
}

/** A token source with the real SDK and the ECR double, on one clock that only the test advances. */
export interface AwsTokensFixture {
  readonly double: EcrDouble;
  readonly tokens: TokenSource;
  readonly calls: readonly TokenCall[];
  /** Calls of GetAuthorizationToken that the double received. */
  countTokenCalls(): number;
  /** The clock of the test, in ms. */
  now(): number;
  /** Advances the clock. */
  pass(ms: number): void;
  [Symbol.asyncDispose](): Promise<void>;
}

const plain: Omit<AwsTokenSourceOptions, 'now' | 'resolveIdentity'> = {
  freshness: { fraction: 0.5, floorMs: hourMs },
  timeouts: { connectMs: 2_000, requestMs: 5_000 },
  maxKeys: 16,
  environment: {},
  random: () => 0.5,
};

/**
 * Points the SDK of this process at a double. The SDK does not retry, so that a test counts only the program's calls and
 * does not wait for the SDK's backoff.
 */
export async function startAwsTokensFixture(
  {
    rules = [],
    facts = unknownFacts,
    ...options
  }: Partial<AwsTokenSourceOptions> & { rules?: readonly IdentityRule[]; facts?: IdentityFacts } = {},
  doubleOptions: EcrDoubleOptions = {},
): Promise<AwsTokensFixture> {
  let passed = 0;
  const started = Date.now();
  const now = () => started + passed;
  const double = await startEcrDouble({ now, ...doubleOptions });
  const before = { ...process.env };
  Object.assign(process.env, double.env(), { AWS_MAX_ATTEMPTS: '1' });
  const calls: TokenCall[] = [];
  const tokens = createAwsTokenSource({
    ...plain,
    resolveIdentity: createIdentityResolver(rules, facts),
    now,
    onCall: (call) => calls.push(call),
    ...options,
  });
  return {
    double,
    tokens,
    calls,
    now,
    countTokenCalls: () => double.callsOf('GetAuthorizationToken').length,
    pass: (ms) => {
      passed += ms;
    },
    [Symbol.asyncDispose]: async () => {
      tokens.close();
      await double.stop();
      process.env = before;
    },
  };
}

/** The TokenError that a promise rejects with; fails on anything else. */
export async function getTokenError(promise: Promise<unknown>): Promise<TokenError> {
  const error = await promise.then(
    () => assert.fail('expected a rejection'),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof TokenError, inspect(error));
  return error;
}

/** Fails if a value contains one of the double's secrets, in any way in which it can be printed. */
export function assertNoSecretLeaked(double: EcrDouble, value: unknown): void {
  const shown = [
    inspect(value, {
      depth: 30,
      showHidden: true,
      getters: true,
      maxStringLength: null,
      maxArrayLength: null,
    }),
    JSON.stringify(value),
    String(value),
    value instanceof Error ? `${value.stack} ${value.message}` : '',
  ].join('\n');
  for (const secret of double.secrets()) {
    assert.ok(!shown.includes(secret), `contains ${secret.slice(0, 12)}…: ${shown.slice(0, 2000)}`);
  }
}
