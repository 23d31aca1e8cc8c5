import { testSchedules } from '../../support/trust/simulation/suite.ts';

testSchedules('calm', 250);
