import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { createAwsTokenSource } from '../../src/ecr/aws-token-source.ts';
import type { IdentityRule } from '../../src/ecr/identity.ts';
import { TokenError } from '../../src/ecr/token-error.ts';
import { registryOfHost } from '../support/registries.ts';

/** What came of asking for a host's token: `token`, or the code of the failure. */
export type Result = string;

/** Asks for the tokens of some hosts, one after the other, in the environment of this process. */
export async function fetchTokens(
  hosts: readonly string[],
  rules: readonly IdentityRule[],
): Promise<Result[]> {
  const tokens = createAwsTokenSource({
    rules,
    freshness: { fraction: 0.5, floorMs: 60_000 },
    timeouts: { connectMs: 20_000, requestMs: 60_000 }, // for busy machines
    maxKeys: 64,
    environment: process.env,
    now: Date.now,
    random: Math.random,
  });
  const results: Result[] = [];
  for (const host of hosts) {
    results.push(await tokens.get(host, registryOfHost(host)).then(() => 'token', codeOf));
  }
  tokens.close();
  return results;
}

/** The same with another environment, which this process has meanwhile. */
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

/** The same in a process of its own; `written` is what that wrote beside the results. */
export async function fetchTokensInChild(
  environment: Record<string, string>,
  hosts: readonly string[],
  rules: readonly IdentityRule[],
): Promise<{ results: Result[]; written: string }> {
  const script = fileURLToPath(new URL('./token-fetch-process.ts', import.meta.url));
  const child = spawn(process.execPath, [script, JSON.stringify({ hosts, rules })], { env: environment });
  let answered = '';
  let written = '';
  child.stdout.on('data', (chunk) => {
    answered += String(chunk);
  });
  child.stderr.on('data', (chunk) => {
    written += String(chunk);
  });
  await new Promise((resolve) => child.once('close', resolve));
  return { results: answered === '' ? [] : JSON.parse(answered), written };
}

function codeOf(error: unknown): Result {
  if (error instanceof TokenError) {
    return error.code;
  }
  throw error;
}
