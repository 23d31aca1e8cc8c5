import { testSchedules } from '../../support/trust/simulation/suite.ts';

testSchedules('borrowed', 250);
