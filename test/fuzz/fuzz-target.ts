// The program under test in a separate process, and checks of everything that it outputs.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { eventually } from '../support/eventually.ts';
import type { RunningProgram } from '../support/program.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';
import { plantCredential } from './malformed-json.ts';

export const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

/** Maximum length of a log line, in characters. Every string in it is bounded. */
const maxLineLength = 16_384;

export interface FuzzResponse {
  readonly status: number;
  readonly body: string;
}

/** A running program, and all values with a planted credential that were sent to it. */
export class FuzzTarget {
  readonly program: RunningProgram;
  readonly #secrets: () => readonly string[];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });
  /** Credential → the value that it was planted in. */
  readonly #planted = new Map<string, string>();
  #markers = 0;

  /** @param secrets returns texts that the program knows and must not show */
  constructor(program: RunningProgram, secrets: () => readonly string[]) {
    this.program = program;
    this.#secrets = secrets;
  }

  /** Replaces the placeholders in a value by a credential that later checks search for. */
  plant(value: string): string {
    const { text: sent, credential } = plantCredential(value);
    if (sent !== value) {
      this.#planted.set(credential, value);
    }
    return sent;
  }

  /** Posts a body as the API server does. Rejects if there is no response. */
  async post(body: string): Promise<FuzzResponse> {
    const request = httpsRequest(`${this.program.webhookUrl}?timeout=5s`, {
      method: 'POST',
      ca: this.program.caPem,
      agent: this.#agent,
      headers: { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) },
      signal: AbortSignal.timeout(20_000),
    });
    request.end(body);
    const [response] = await once(request, 'response');
    return { status: response.statusCode, body: await text(response) };
  }

  /** Fails unless a valid pod gets its reference within 5 s and without a warning. */
  async assertServes(): Promise<void> {
    this.#markers += 1;
    const name = `marker-${this.#markers}`;
    const pod = { metadata: { name }, spec: { containers: [{ image: `${host}/app:1` }] } };
    const started = performance.now();
    const { status, body } = await this.post(JSON.stringify(buildPodReview(pod, { namespace: 'team-good' })));
    const { allowed, patch, warnings } = JSON.parse(body).response;
    assert.deepEqual({ status, allowed, warnings }, { status: 200, allowed: true, warnings: undefined });
    assert.match(atob(patch), /"ecr-pull-secrets"/);
    const tookMs = performance.now() - started;
    assert.ok(tookMs < 5_000, `responded after ${Math.round(tookMs)} ms`);
  }

  /** Like {@link assertServes}, but the program may first have to fetch a token, and to back off after a failure. */
  async assertServesSoon(): Promise<void> {
    const serves = async () => {
      await this.assertServes();
      return true;
    };
    await eventually('a valid pod is served', serves, 60_000);
  }

  /**
   * Waits until everything is logged, then fails if the program has exited, the log is not clean, or the metrics show a
   * credential.
   */
  async assertCleanAfterwards(): Promise<void> {
    await this.assertServesSoon();
    const marker = `marker-${this.#markers}`;
    await eventually('the last review is logged', () => this.program.output().includes(marker));
    this.assertLogClean();
    this.assertShowsNothing('the metrics', await this.program.metrics());
  }

  /** Fails if a log line is not JSON, is too long, or shows a credential. */
  assertLogClean(): void {
    const lines = this.program
      .output()
      .split('\n')
      .filter((line) => line !== '');
    const problems = lines.flatMap((line) => findProblem(line) ?? []);
    assert.deepEqual(problems.slice(0, 10), [], `${problems.length} lines of the log are not clean`);
    this.assertShowsNothing('the log', lines.join('\n'));
  }

  /** Fails if a text shows a planted credential, or a secret that the program knows. */
  assertShowsNothing(where: string, output: string): void {
    const leaks = [...output.matchAll(/AKIAFUZZ\d{12}/g)].map(([credential]) =>
      this.#planted.get(credential),
    );
    const [shortest] = leaks.toSorted((a = '', b = '') => a.length - b.length);
    const report = `${where}: shows ${leaks.length} planted credentials. Add this to the corpus: {"why":"describe the problem","value":${JSON.stringify(shortest)}}`;
    assert.equal(leaks.length, 0, report);
    for (const secret of this.#secrets()) {
      assert.ok(!output.includes(secret), `${where}: shows a secret that begins with ${secret.slice(0, 6)}`);
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** What is wrong with the form of a log line; undefined if nothing is. */
function findProblem(line: string): string | undefined {
  if (line.length > maxLineLength) {
    return `${line.length} characters: ${line.slice(0, 120)}…`;
  }
  try {
    JSON.parse(line);
    return undefined;
  } catch {
    return `not JSON: ${line.slice(0, 300)}`;
  }
}
