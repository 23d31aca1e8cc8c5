import { testSchedules } from '../../support/trust/simulation/suite.ts';

testSchedules('faulty', 500);
