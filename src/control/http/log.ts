/** The log as the services see it; its form is shared with the agents. */
export { jsonLog, type Log, type LogFields } from '#protocol/log.ts';
