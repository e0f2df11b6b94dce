// Declares suites that need something that this machine may lack.
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { isCi } from '../cluster/cluster-suite.ts';

/**
 * Declares tests, unless there is an obstacle. Then one test takes their place, which is skipped with the reason; in CI it fails.
 * A skipped suite would be missing in the summary of the run.
 * @param obstacle what is missing; undefined: nothing
 */
export function declareUnless(obstacle: string | undefined, name: string, declare: () => void): void {
  if (obstacle === undefined) {
    declare();
  } else {
    it(name, { skip: !isCi(process.env) && obstacle }, () => assert.fail(obstacle));
  }
}
