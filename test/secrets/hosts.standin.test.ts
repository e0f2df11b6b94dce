import { describeOnStandIn } from '../support/stand-in.ts';
import { hostsSuite } from './hosts.suite.ts';

describeOnStandIn('hosts that leave a Secret on the stand-in', hostsSuite);
