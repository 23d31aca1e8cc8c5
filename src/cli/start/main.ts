import { launch } from './launch.ts';

launch(__dirname);
