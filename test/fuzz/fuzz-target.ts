// The program under attack, as a process of its own, and what must not be found in anything that it says.
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { Agent, request as httpsRequest } from 'node:https';
import { text } from 'node:stream/consumers';
import { eventually } from '../support/eventually.ts';
import type { RunningProgram } from '../support/program.ts';
import { buildPodReview } from '../webhook/admission-reviews.ts';
import { plantCredential } from './malformed-json.ts';

export const host = '123456789012.dkr.ecr.eu-central-1.amazonaws.com';

/** A line of the log is at most this long, in characters: every string in it is bounded. */
const maxLineLength = 16_384;

export interface FuzzResponse {
  readonly status: number;
  readonly body: string;
}

/** A running program, and every value that was sent to it with a planted credential. */
export class FuzzTarget {
  readonly program: RunningProgram;
  readonly #secrets: () => readonly string[];
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 4 });
  /** Credential → the value that it was planted in. */
  readonly #planted = new Map<string, string>();
  #markers = 0;

  /** @param secrets gives texts that the program holds and must not show */
  constructor(program: RunningProgram, secrets: () => readonly string[]) {
    this.program = program;
    this.#secrets = secrets;
  }

  /** Replaces the placeholders in a value by a credential that is looked for later. */
  plant(value: string): string {
    const { text: sent, credential } = plantCredential(value);
    if (sent !== value) this.#planted.set(credential, value);
    return sent;
  }

  /** Posts a body as the API server does. Rejects where no answer comes. */
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

  /** Fails unless a pod that does nothing wrong gets its reference, without a warning and within 5 s. */
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
    assert.ok(tookMs < 5_000, `answered after ${Math.round(tookMs)} ms`);
  }

  /** As {@link assertServes}, but the program may have to fetch a token first, and to wait after a failure. */
  async assertServesSoon(): Promise<void> {
    const serves = async () => {
      await this.assertServes();
      return true;
    };
    await eventually('a good pod is served', serves, 60_000);
  }

  /**
   * Waits until all is logged, then fails where the program has ended, the log is not clean, or the metrics show a
   * credential.
   */
  async assertCleanAfterwards(): Promise<void> {
    await this.assertServesSoon();
    const marker = `marker-${this.#markers}`;
    await eventually('the last review is logged', () => this.program.output().includes(marker), 20_000);
    this.assertLogClean();
    this.assertShowsNothing('the metrics', await this.program.metrics());
  }

  /** Fails where a line of the log is not JSON or longer than it may be, or shows a credential. */
  assertLogClean(): void {
    const lines = this.program
      .output()
      .split('\n')
      .filter((line) => line !== '');
    const problems = lines.flatMap((line) => problemOf(line) ?? []);
    assert.deepEqual(problems.slice(0, 10), [], `${problems.length} lines of the log are not clean`);
    this.assertShowsNothing('the log', lines.join('\n'));
  }

  /** Fails where a text shows a planted credential, or a secret that the program holds. */
  assertShowsNothing(where: string, shown: string): void {
    const leaks = [...shown.matchAll(/AKIAFUZZ\d{12}/g)].map(([credential]) => this.#planted.get(credential));
    const [shortest] = leaks.toSorted((a = '', b = '') => a.length - b.length);
    const report = `${where}: shows ${leaks.length} planted credentials. Add this to the corpus: {"why":"say what is wrong","value":${JSON.stringify(shortest)}}`;
    assert.equal(leaks.length, 0, report);
    for (const secret of this.#secrets()) {
      assert.ok(!shown.includes(secret), `${where}: shows a secret that begins with ${secret.slice(0, 6)}`);
    }
  }

  close(): void {
    this.#agent.destroy();
  }
}

/** What is wrong with the form of a line of the log; undefined: nothing. */
function problemOf(line: string): string | undefined {
  if (line.length > maxLineLength) return `${line.length} characters: ${line.slice(0, 120)}…`;
  try {
    JSON.parse(line);
    return undefined;
  } catch {
    return `not JSON: ${line.slice(0, 300)}`;
  }
}
