import { testSchedules } from '../../support/trust/simulation/suite.ts';

testSchedules('deleted', 400);
