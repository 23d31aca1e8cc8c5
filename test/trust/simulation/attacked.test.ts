import { testSchedules } from '../../support/trust/simulation/suite.ts';

testSchedules('attacked', 500);
