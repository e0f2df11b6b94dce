import assert from 'node:assert/strict';
import { after, before, describe } from 'node:test';
import { type ApiStandIn, startApiStandIn } from '../doubles/api-server/api-stand-in.ts';

/** A suite against the API stand-in, as `describeOnCluster` is one against a real API server. */
export function describeOnStandIn(name: string, body: (apiServer: () => ApiStandIn) => void): void {
  describe(name, () => {
    let started: ApiStandIn | undefined;
    before(async () => {
      started = await startApiStandIn();
    });
    body(() => {
      assert.ok(started, 'the stand-in is there within tests and hooks only');
      return started;
    });
    // declared last, so that it stops after whatever the suite's own hooks end
    after(() => started?.stop());
  });
}
