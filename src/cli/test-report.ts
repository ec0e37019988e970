/** What `patchbay test` says at the end: a reporter for node:test that writes lines of JSON, and the text made of them. */

/** The events of node:test that matter here (https://nodejs.org/api/test.html#event-testfail). */
export type TestEvent =
  | { readonly type: 'test:fail'; readonly data: { readonly name: string; readonly classname?: string; readonly file?: string; readonly details: { readonly error: { readonly failureType?: string; readonly message: string } } } }
  | { readonly type: 'test:summary'; readonly data: { readonly file?: string; readonly duration_ms: number; readonly counts: { readonly tests: number; readonly passed: number; readonly skipped: number } } };

export interface Failure {
  readonly file: string;
  /** With the tests around it. */
  readonly name: string;
  readonly message: string;
}

export interface TestReport {
  readonly tests: number;
  readonly passed: number;
  readonly skipped: number;
  readonly failures: readonly Failure[];
  /** Of each file that could be loaded, the slowest first. */
  readonly seconds: readonly { readonly file: string; readonly seconds: number }[];
}

const MOST_LINES = 12;

/** The reporter: `--test-reporter` takes this module's path. */
export default async function* report(events: AsyncIterable<{ type: string; data: unknown }>): AsyncGenerator<string> {
  for await (const { type, data } of events) {
    if (type !== 'test:fail' && type !== 'test:summary') continue;
    yield `${JSON.stringify({ type, data }, (_, value) => (value instanceof Error ? { ...value, message: value.message, cause: undefined } : value))}\n`;
  }
}

/** Reads what the reporter wrote of one run. */
export function readReport(text: string): TestReport {
  const events = text.split('\n').filter((line) => line !== '').map((line) => JSON.parse(line) as TestEvent);
  const summaries = events.flatMap((event) => (event.type === 'test:summary' ? [event.data] : []));
  // The last is of all files.
  const { tests = 0, passed = 0, skipped = 0 } = summaries.find(({ file }) => file === undefined)?.counts ?? {};
  return {
    tests, passed, skipped,
    failures: events.flatMap((event) => (event.type === 'test:fail' && event.data.details.error.failureType !== 'subtestsFailed' ? [failureOf(event.data)] : [])),
    seconds: summaries.flatMap(({ file, duration_ms }) => (file === undefined ? [] : [{ file, seconds: duration_ms / 1000 }])).sort((a, b) => b.seconds - a.seconds),
  };
}

/** Each failure with its file and the beginning of what it said, file names relative to `root`. */
export function printFailures(failures: readonly Failure[], root: string): string[] {
  return failures.flatMap(({ file, name, message }) => {
    const lines = message.trimEnd().split('\n');
    return [`✖ ${file.replace(`${root}/`, '')}: ${name}`, ...lines.slice(0, MOST_LINES).map((line) => `    ${line}`), ...(lines.length > MOST_LINES ? [`    … ${lines.length - MOST_LINES} lines more above`] : [])];
  });
}

function failureOf({ name, classname, file = '', details }: Extract<TestEvent, { type: 'test:fail' }>['data']): Failure {
  return { file, name: classname === undefined ? name : `${classname} › ${name}`, message: details.error.message };
}
