// Fetches tokens with a given environment, in this process or in a child, and returns `token` or the error code.
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createAwsTokenSource } from '../../src/ecr/aws-token-source.ts';
import { unknownFacts } from '../../src/ecr/identity-facts.ts';
import { createIdentityResolver, type IdentityRule } from '../../src/ecr/identity-rules.ts';
import { createRegistryResolver, resolveRegistries } from '../../src/ecr/registry.ts';
import { TokenError } from '../../src/ecr/token-error.ts';

/** The result of fetching a token for a host: `token`, or the code of the failure. */
export type Result = string;

/** Fetches tokens for hosts, one after the other, in the environment of this process. */
export async function fetchTokens(
  hosts: readonly string[],
  rules: readonly IdentityRule[],
): Promise<Result[]> {
  const tokens = createAwsTokenSource({
    resolveIdentity: createIdentityResolver(rules, unknownFacts),
    freshness: { fraction: 0.5, floorMs: 60_000 },
    timeouts: { connectMs: 20_000, requestMs: 60_000 }, // for busy machines
    maxKeys: 64,
    environment: process.env,
    now: Date.now,
    random: Math.random,
  });
  const results: Result[] = [];
  for (const registry of resolveRegistries(hosts, createRegistryResolver({ publicRegistry: true }))) {
    results.push(await tokens.get(registry.host, registry).then(() => 'token', codeOf));
  }
  tokens.close();
  return results;
}

/** Fetches tokens with another environment, which replaces that of this process until it is done. */
export async function fetchTokensWithEnvironment(
  environment: Record<string, string>,
  hosts: readonly string[],
  rules: readonly IdentityRule[] = [],
): Promise<Result[]> {
  const before = process.env;
  process.env = { ...environment };
  try {
    return await fetchTokens(hosts, rules);
  } finally {
    process.env = before;
  }
}

/** Fetches tokens in a separate process; `written` is its output except for the results. */
export async function fetchTokensInChild(
  environment: Record<string, string>,
  hosts: readonly string[],
  rules: readonly IdentityRule[],
): Promise<{ results: Result[]; written: string }> {
  const script = fileURLToPath(new URL('./token-fetch-process.ts', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify({ hosts, rules })], { env: environment });
  let received = '';
  let written = '';
  child.stdout.on('data', (chunk) => {
    received += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    written += String(chunk);
  });
  await new Promise((resolve) => child.once('close', resolve));
  return { results: received === '' ? [] : JSON.parse(received), written };
}

function codeOf(error: unknown): Result {
  if (error instanceof TokenError) {
    return error.code;
  }
  throw error;
}
