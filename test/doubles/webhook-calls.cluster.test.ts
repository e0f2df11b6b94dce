import { describeOnCluster } from '../cluster/cluster-suite.ts';
import { webhooksSuite } from './webhook-calls.suite.ts';

describeOnCluster('webhooks, asked by a real API server', webhooksSuite);
