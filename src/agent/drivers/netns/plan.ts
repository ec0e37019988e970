/** What makes a named namespace exist or not, as lines for `ip -batch`. */
import type { NamespaceState } from './parse.ts';

export function planNamespace(name: string, found: NamespaceState): string[] {
  switch (found) {
    case 'namespace': return [];
    case 'leftover': return [`netns del ${name}`, `netns add ${name}`];
    case 'absent': return [`netns add ${name}`];
  }
}

export function planNamespaceRemoval(name: string, found: NamespaceState): string[] {
  return found === 'absent' ? [] : [`netns del ${name}`];
}
