import { describeOnStandIn } from '../support/stand-in-suite.ts';
import { managedSuite } from './managed-certificates.suite.ts';

describeOnStandIn('certificates on the API stand-in', managedSuite);
