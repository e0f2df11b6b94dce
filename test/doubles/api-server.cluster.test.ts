import { describeOnCluster } from '../cluster/suite.ts';
import { webhooksSuite } from './webhooks.suite.ts';

describeOnCluster('webhooks, asked by a real API server', webhooksSuite);
