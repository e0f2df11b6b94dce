// Test suites that examine a healthy installation after they broke something in it.
import { after, before } from 'node:test';
import { describeChartOnCluster } from '../chart/chart-suite.ts';
import { findPullTestObstacle } from '../pull/pull-tools.ts';
import { declareUnless } from '../support/required-tools.ts';
import {
  type HealthyInstallation,
  loopbackServices,
  startHealthyInstallation,
} from './healthy-installation.ts';

/** More than the default of a test, because each runs doctor at least once. */
export const doctorLimits = { timeout: 120_000 };

/**
 * Declares a suite on a healthy installation, which needs Helm, an API server of its own and the programs for a real pull.
 * @param body declares the tests; its argument returns the installation and may be called within tests and hooks only
 */
export function describeOnHealthyInstallation(
  name: string,
  body: (installation: () => HealthyInstallation) => void,
): void {
  const suite: Parameters<typeof describeChartOnCluster>[1] = (cluster, helm) => {
    let installation: HealthyInstallation | undefined;
    before(async () => {
      installation = await startHealthyInstallation(cluster(), helm());
    }, doctorLimits);
    body(() => {
      if (installation === undefined) {
        throw new Error('the installation is available within tests and hooks only');
      }
      return installation;
    });
    after(() => installation?.stop());
  };
  declareUnless(findPullTestObstacle(process.env), name, () =>
    describeChartOnCluster(name, suite, { ownApiServer: true, args: loopbackServices }),
  );
}
