import { describeOnStandIn } from '../support/stand-in.ts';
import { managedSuite } from './managed.suite.ts';

describeOnStandIn('certificates on the API stand-in', managedSuite);
