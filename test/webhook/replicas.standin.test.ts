import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { replicasSuite } from './replicas.suite.ts';

describeOnStandIn('on the API stand-in', replicasSuite);
