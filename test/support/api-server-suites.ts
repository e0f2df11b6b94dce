// Suites that run twice: against the API stand-in, and against a real API server.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import type { TestApiServer } from './test-api-server.ts';

/** The environment variable by which test/run.ts chooses: `real`, or anything else for the stand-in. */
export const apiServerVariable = 'TEST_API_SERVER';

/**
 * Declares a suite of a file named `*.suite.ts`. test/run.ts runs each such file once for each API server. With
 * `node --test FILE`, the suite runs against the stand-in.
 * @param body declares the tests; its argument returns the API server within a test or a hook
 */
export function describeOnEachApiServer(name: string, body: (apiServer: () => TestApiServer) => void): void {
  if (process.env[apiServerVariable] === 'real') {
    describeOnCluster(`${name}, on a real API server`, body);
  } else {
    describeOnStandIn(`${name}, on the API stand-in`, body);
  }
}

function describeOnStandIn(name: string, body: (apiServer: () => TestApiServer) => void): void {
  describe(name, () => {
    let standIn: ApiStandIn | undefined;
    before(async () => {
      standIn = await startApiStandIn();
    });
    body(() => {
      assert.ok(standIn, 'the stand-in is available within tests and hooks only');
      return standIn;
    });
    // Declared last, so that the stand-in stops after the hooks of the suite.
    after(() => standIn?.stop());
  });
}
