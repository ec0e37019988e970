/**
 * Given to `node --test` with `--import`: properties draw the same samples in every run, so that what passed here passes elsewhere
 * too; with `--all` they draw others each time. A failure says what failed, beside the sample.
 */
import fc from 'fast-check';

fc.configureGlobal({ includeErrorInReport: true, ...(process.env['PATCHBAY_TEST_ALL'] ? {} : { seed: 20_261_128 }) });
