// Serves metrics in the format of kube-state-metrics, which is a program for nodes that the test cluster does not have.
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { release } from './rendered-alerts.ts';

/** The state of the release's Deployments and CronJob. */
interface ClusterState {
  availableReplicas: number;
  availableControllers: number;
  /** In seconds since the epoch. */
  lastSuccessfulSync: number;
}

export interface ClusterMetrics {
  readonly url: string;
  /** May be changed. */
  readonly state: ClusterState;
  stop(): Promise<void>;
}

export async function startClusterMetrics(): Promise<ClusterMetrics> {
  const startedAt = Math.floor(Date.now() / 1000);
  const state: ClusterState = {
    availableReplicas: 2,
    availableControllers: 1,
    lastSuccessfulSync: startedAt,
  };
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/plain; version=0.0.4').end(render(state, startedAt));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${port}`,
    state,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function render(state: ClusterState, createdAt: number): string {
  const { namespace, name } = release;
  const deployment = (suffix = '') => `namespace="${namespace}",deployment="${name}${suffix}"`;
  const cronJob = `namespace="${namespace}",cronjob="${name}-sync"`;
  return [
    `kube_deployment_spec_replicas{${deployment()}} 2`,
    `kube_deployment_status_replicas_available{${deployment()}} ${state.availableReplicas}`,
    `kube_deployment_status_replicas_available{${deployment('-certificates')}} ${state.availableControllers}`,
    `kube_cronjob_created{${cronJob}} ${createdAt}`,
    `kube_cronjob_status_last_successful_time{${cronJob}} ${state.lastSuccessfulSync}`,
    '',
  ].join('\n');
}
