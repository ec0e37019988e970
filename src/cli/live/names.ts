/** What the objects of a trace are called, as its steps say it. */
import type { Gate } from '#trace/crossing.ts';
import type { Path } from '#trace/step.ts';

export type Names = ReadonlyMap<string, string>;

export function namesOf(path: Path, names = new Map<string, string>()): Names {
  for (const step of path) {
    if (step.object) names.set(step.object.id, step.object.name);
    if (step.type === 'fork') for (const branch of step.branches) namesOf(branch, names);
  }
  return names;
}

/** `port vm2 (8d8b2190)`; the id alone where there is no name. */
export function portText(names: Names, id: string): string {
  const name = names.get(id) ?? id;
  return name === id ? `port ${id}` : `port ${name} (${id.slice(0, 8)})`;
}

export function gateText(names: Names, gate: Gate): string {
  if ('port_id' in gate) return portText(names, gate.port_id);
  if ('peer' in gate) return `the ${gate.network_type} tunnel ${gate.segmentation_id} with ${gate.peer}`;
  return `${gate.physical_network}, ${gate.segmentation_id === null ? 'untagged' : `VLAN ${gate.segmentation_id}`}`;
}
