// Suites that run twice: against the API stand-in, and against a real API server.
import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';
import type { TestApiServer } from './test-api-server.ts';

/** The environment variable by which test/run.ts chooses: `real`, or anything else for the stand-in. */
export const apiServerVariable = 'TEST_API_SERVER';

/**
 * A suite of a file named `*.suite.ts`. test/run.ts runs each such file once for each API server; alone, as in
 * `node --test FILE`, it runs against the stand-in.
 * @param body declares the tests; its argument returns the API server, within a test or a hook
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
    let started: ApiStandIn | undefined;
    before(async () => {
      started = await startApiStandIn();
    });
    body(() => {
      assert.ok(started, 'the stand-in is there within tests and hooks only');
      return started;
    });
    // Declared last, so that the stand-in stops after whatever the suite's own hooks end.
    after(() => started?.stop());
  });
}
