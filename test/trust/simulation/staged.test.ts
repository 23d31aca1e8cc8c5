import { testSchedules } from '../../support/trust/simulation/suite.ts';

testSchedules('staged', 350);
