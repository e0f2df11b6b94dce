import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { hostsSuite } from './host-removal.suite.ts';

describeOnStandIn('hosts that leave a Secret on the stand-in', hostsSuite);
