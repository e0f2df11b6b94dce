import {
  type Configuration,
  CoreV1Api,
  createConfiguration,
  ServerConfiguration,
} from '@kubernetes/client-node';
import type { ClusterConfig } from './config.ts';
import { errorOf, KubeError } from './errors.ts';

/** What client-node's generated calls of any group need, for the API server that the config names. */
export function apiConfiguration(config: ClusterConfig): Configuration {
  const baseServer = new ServerConfiguration(config.getCurrentCluster()?.server ?? '', {});
  return createConfiguration({ baseServer, httpApi: config.http, authMethods: { default: config } });
}

/** client-node's calls for the core group. */
export function coreApi(config: ClusterConfig): CoreV1Api {
  return new CoreV1Api(apiConfiguration(config));
}

/** Makes a call. @throws {KubeError} for every failure */
export async function attempt<T>(operation: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw errorOf(error, operation);
  }
}

/** Makes a call on one object; undefined where there is no such object. @throws {KubeError} for any other failure */
export async function unlessMissing<T>(operation: string, call: () => Promise<T>): Promise<T | undefined> {
  try {
    return await attempt(operation, call);
  } catch (error) {
    if (error instanceof KubeError && error.code === 'not-found') return undefined;
    throw error;
  }
}
