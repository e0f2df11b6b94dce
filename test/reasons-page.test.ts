// The page docs/reference/reasons.md explains every outcome and reason of the log and of the metrics.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { describe, it } from 'node:test';

const read = (path: string) => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

/** File, and the start of the part that contains the values as string literals; the part ends at the next `;`. */
const parts: readonly (readonly [file: string, start: string])[] = [
  ['webhook/handler', 'type AdmissionOutcome ='],
  ['injection/decision', 'type DecisionReason ='],
  ['webhook/client-auth', 'readonly code:'],
  ['ecr/token-policy', 'type DueReason ='],
  ['renewal/plan-types', 'readonly reason:'],
  ['provisioning/provisioning-plan', "reason: 'no-secret'"],
  ['provisioning/provisioning-plan', "reason: 'no-reference'"],
  ['provisioning/provisioning-plan', "| 'provisioning-disabled'"],
  ['pull-secrets/apply', 'type DropReason ='],
  ['pull-secrets/unstored-hosts', 'type ForgetReason ='],
  ['certificates/certificate-state', 'const rotationReasons ='],
  ['certificates/certificate-state', 'const repairReasons ='],
];

describe('the page of reasons', () => {
  const page = read('docs/reference/reasons.md');

  for (const [file, start] of parts) {
    it(`contains the values of ${file}: ${start}`, () => {
      const source = read(`src/${file}.ts`);
      assert.ok(source.includes(start), `${file} has no "${start}"; correct this test`);
      const part = source.slice(source.indexOf(start)).split(';')[0] ?? '';
      const values = [...part.matchAll(/'([a-z]+(?:-[a-z]+)*)'(?!s)/g)].map(([, value]) => value);
      assert.ok(values.length > 1, `${file} has no values after "${start}"; correct this test`);
      const missing = values.filter((value) => !page.includes(`\`${value}\``));
      assert.deepEqual(missing, [], 'explain these values in docs/reference/reasons.md');
    });
  }
});
