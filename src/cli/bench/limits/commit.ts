/** The floor of every write: one row of a port's size, committed by SQLite as the store does it (WAL, synchronous=FULL). */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { statisticsOf } from '../statistics.ts';

/** p50 of one commit in milliseconds, in `folder`. */
export function measureCommit(folder: string, count: number): number {
  const path = join(folder, 'commit.db');
  const db = new DatabaseSync(path);
  try {
    db.exec('pragma journal_mode=wal; pragma synchronous=full; create table ports (id text primary key, body text) without rowid');
    const insert = db.prepare('insert into ports values (?, ?)');
    const body = 'x'.repeat(1000);
    const samples = Array.from({ length: count }, () => {
      const start = performance.now();
      insert.run(crypto.randomUUID(), body);
      return performance.now() - start;
    });
    return statisticsOf(samples).p50;
  } finally {
    db.close();
    for (const suffix of ['', '-wal', '-shm']) rmSync(path + suffix, { force: true });
  }
}
