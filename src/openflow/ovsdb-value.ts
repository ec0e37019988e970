/** OVSDB's JSON values (RFC 7047 §5.1) and the plain ones used in this program. */

export type Atom = string | number | boolean;
export type WireAtom = Atom | readonly ['uuid' | 'named-uuid', string];
export type WireValue = WireAtom | readonly ['set', readonly WireAtom[]] | readonly ['map', readonly (readonly [WireAtom, WireAtom])[]];

/** A column's value: an atom, `undefined` for an absent optional one, an array for a set, a record for a map. A UUID is its text. */
export type Value = Atom | undefined | readonly Atom[] | Readonly<Record<string, Atom>>;

/** What a column can hold, from the database's schema. */
export type ColumnShape = 'atom' | 'optional' | 'set' | 'map';

export interface Column {
  readonly shape: ColumnShape;
  /** What a new row holds: the server leaves such columns out of what it sends. */
  readonly initial: Value;
}

/** A column of the answer to `get_schema`. */
export function columnOf(type: unknown): Column {
  if (typeof type === 'string') return { shape: 'atom', initial: INITIAL_ATOMS[type] ?? NO_UUID };
  const { key, value, min = 1, max = 1 } = type as { key: string | { type: string }; value?: unknown; min?: number; max?: number | 'unlimited' };
  if (value !== undefined) return { shape: 'map', initial: {} };
  if (max !== 1) return { shape: 'set', initial: [] };
  if (min === 0) return { shape: 'optional', initial: undefined };
  return { shape: 'atom', initial: INITIAL_ATOMS[typeof key === 'string' ? key : key.type] ?? NO_UUID };
}

const INITIAL_ATOMS: Readonly<Record<string, Atom>> = { string: '', integer: 0, real: 0, boolean: false };
const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** The plain value of a wire value. */
export function fromWire(shape: ColumnShape, wire: WireValue): Value {
  switch (shape) {
    case 'atom':
      return atom(wire as WireAtom);
    case 'optional':
      return atoms(wire)[0];
    case 'set':
      return atoms(wire);
    case 'map':
      return Object.fromEntries(pairs(wire));
  }
}

/** The value after a `modify` of update2/update3: sets and maps come as their difference (ovsdb-server(7), "Update2"). */
export function applyDifference(shape: ColumnShape, before: Value, wire: WireValue): Value {
  switch (shape) {
    case 'atom':
    case 'optional':
      return fromWire(shape, wire);
    case 'set': {
      const after = new Set(before as readonly Atom[]);
      for (const element of atoms(wire)) if (!after.delete(element)) after.add(element);
      return [...after];
    }
    case 'map': {
      const after: Record<string, Atom> = { ...(before as Readonly<Record<string, Atom>>) };
      for (const [key, value] of pairs(wire)) {
        if (after[key] === value) delete after[key];
        else after[key] = value;
      }
      return after;
    }
  }
}

/** A map as OVSDB writes it. */
export function wireMap(record: Readonly<Record<string, string>>): WireValue {
  return ['map', Object.entries(record)];
}

/** An optional column as OVSDB writes it. */
export function wireOptional(value: Atom | undefined): WireValue {
  return value === undefined ? ['set', []] : value;
}

function atom(wire: WireAtom): Atom {
  return Array.isArray(wire) ? (wire[1] as string) : (wire as Atom);
}

/** A set of one element is written without brackets. */
function atoms(wire: WireValue): Atom[] {
  if (Array.isArray(wire) && wire[0] === 'set') return (wire[1] as readonly WireAtom[]).map(atom);
  return [atom(wire as WireAtom)];
}

function pairs(wire: WireValue): [string, Atom][] {
  return ((wire as readonly ['map', readonly (readonly [WireAtom, WireAtom])[]])[1]).map(([key, value]) => [String(atom(key)), atom(value)]);
}
