/** The time as Networking API shows it: UTC to the second, `2026-11-23T15:53:12Z`. */
export function apiTime(date = new Date()): string {
  return `${date.toISOString().slice(0, 19)}Z`;
}
