package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/jackc/pgx/v5"
)

// Watch is a table whose changes invalidate keys of a topic, whoever makes them: psql, another language, a migration, a
// cascade. WatchTable puts triggers on it.
type Watch struct {
	// Table is the table's name as it is, without quotes, with or without its schema: "users", "app.users". Without one
	// the search path of the pool's connections decides. Watches always gives it with its schema.
	Table string

	// Topic is what a change invalidates. Several tables can be watched for one topic, and one table for several.
	Topic string

	// Key is the columns whose values make the key, as KeyOf puts them together. Defaults to those of the primary key,
	// in its order.
	Key []string

	// All makes every change invalidate the whole topic. Key and MaxKeys are then to be left empty.
	All bool

	// MaxKeys is how many keys one statement can invalidate one by one; more become the whole topic. Defaults to
	// DefaultMaxKeys.
	MaxKeys int

	// Announce is who tells the pods of a change, and when. Defaults to AfterSweep.
	Announce Announce

	// Broken says, when Watches returns it, what keeps the watch from working as it was meant to, such as a column that
	// was dropped; empty if nothing does. WatchTable ignores it.
	Broken string
}

// Announce is who tells the pods of the changes of a watched table, and when.
type Announce uint8

const (
	// AfterSweep leaves it to the pod that sweeps: within SweepInterval after the commit. It costs the writer nothing
	// beyond the row in the log, and no trouble with notifications can fail the writer's commit.
	AfterSweep Announce = iota

	// InTransaction has the trigger itself send a NOTIFY, which makes all pods read the log when the transaction has
	// committed: some milliseconds after a commit that comes alone; while commits follow one another each pod reads once
	// in SweepInterval or PollInterval, whichever is less. The price is paid by every transaction that changes the table: NOTIFY takes a lock of
	// the whole cluster over the flush to disk, so such transactions commit one after the other; a full notification
	// queue fails them; and they cannot be prepared (two-phase commit). It is for tables that change seldom and
	// urgently.
	InTransaction
)

// String is the name in words: after-sweep, in-transaction.
func (a Announce) String() string {
	switch a {
	case AfterSweep:
		return "after-sweep"
	case InTransaction:
		return "in-transaction"
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (a Announce) MarshalText() ([]byte, error) { return []byte(a.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *Announce) UnmarshalText(text []byte) error {
	for known := AfterSweep; known <= InTransaction; known++ {
		if known.String() == string(text) {
			*a = known
			return nil
		}
	}
	return fmt.Errorf("bus: unknown announcement %.32q", text)
}

// ErrInvalidWatch: a table cannot be watched as asked; the text names the table, the column or the field.
var ErrInvalidWatch = errors.New("bus: invalid watch")

// WatchTable puts triggers on a table that write an event to the log in the transaction of every statement that changes
// rows of it: INSERT and COPY the keys of the new rows, UPDATE those of the old and the new, DELETE those of the old,
// MERGE and INSERT … ON CONFLICT whatever they did, TRUNCATE the whole topic. A statement writes one event however many
// rows it changes; one that changes none writes none. A row with NULL in a column of the key, and a key of more than
// MaxKeyLen bytes, make the event one of the whole topic.
//
// The triggers do not get in the way of whom they watch. They run with the rights of the log's owner, so writers need
// none on our schema. When a column of the key has been dropped or renamed, or a key cannot be computed, the statement
// goes on with a warning and the whole topic is invalidated; Watches tells. They cost some 30 µs for each statement.
//
// Calling it again with the same watch changes nothing and locks nothing, so every pod can do so when it starts; with
// another definition for the same table and topic it replaces the one before. Triggers that were dropped or disabled
// come back. Whenever it does change something it also invalidates the whole topic, for what was written unseen. It
// needs a role that owns the table and that is the owner of our schema, or a member of both roles, such as the one that
// runs Migrate; and it waits, as long as ctx lets it, for transactions that are writing to the table, while later ones
// wait behind it (SHARE ROW EXCLUSIVE). The error is ErrInvalidWatch, ErrPrivilege or ErrSchema, or the
// database's.
//
// What the triggers do not see:
//
//   - Statements that name a partition, or a table that inherits, which was added after the call: call it again then.
//     The parts that are there get triggers too, foreign tables excepted. ATTACH and DETACH PARTITION are not seen.
//   - What a logical replication subscription applies: it runs no statement triggers, except for TRUNCATE and for the
//     first copy of a table.
//   - Statements while somebody has switched the triggers off with ALTER TABLE … DISABLE TRIGGER, as pg_restore
//     --disable-triggers does. session_replication_role = replica does not switch them off: they are ENABLE ALWAYS.
//   - Changes of the table itself, such as ALTER TABLE … ALTER COLUMN … USING.
func (p *Postgres) WatchTable(ctx context.Context, w Watch) error {
	if err := w.check(); err != nil {
		return err
	}
	changed := false
	err := p.watching(ctx, func(tx pgx.Tx) error {
		table, err := p.findTable(ctx, tx, w.Table, w.Topic)
		if err != nil {
			return err
		}
		d, err := table.define(w)
		if err != nil {
			return err
		}
		// Most often it is there already: then no lock is taken.
		tree, err := p.readTree(ctx, tx, table.oid)
		if err != nil || len(tree.problems(p.cfg.Schema, d)) == 0 {
			return err
		}
		if err := table.mayWatch(p.cfg.Schema); err != nil {
			return err
		}
		if err := p.lockWatches(ctx, tx); err != nil {
			return err
		}
		if tree, err = p.readTree(ctx, tx, table.oid); err != nil || len(tree.problems(p.cfg.Schema, d)) == 0 {
			return err
		}
		changed = true
		return p.install(ctx, tx, table, tree, d)
	})
	if err == nil && changed {
		p.log.InfoContext(ctx, "table watched", slog.String("table", w.Table), slog.String("topic", w.Topic))
	}
	return err
}

// UnwatchTable takes the triggers of a watch off a table and its partitions. No such watch is no error; no such table
// is. It takes an ACCESS EXCLUSIVE lock of the table if there is something to take off.
func (p *Postgres) UnwatchTable(ctx context.Context, table, topic string) error {
	if err := (&Watch{Table: table, Topic: topic}).check(); err != nil {
		return err
	}
	return p.watching(ctx, func(tx pgx.Tx) error {
		t, err := p.findTable(ctx, tx, table, topic)
		if err != nil {
			return err
		}
		if err := p.lockWatches(ctx, tx); err != nil {
			return err
		}
		tree, err := p.readTree(ctx, tx, t.oid)
		if err != nil {
			return err
		}
		return p.uninstall(ctx, tx, tree, topic)
	})
}

// Watches lists what is installed in the database, by table, whichever program put it there. It needs no right but to
// look at our schema.
func (p *Postgres) Watches(ctx context.Context) (watches []Watch, err error) {
	err = p.watching(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, p.sql.watchRoots)
		if err != nil {
			return err
		}
		roots, err := pgx.CollectRows(rows, pgx.RowToStructByPos[struct {
			OID    uint32
			Source string
		}])
		if err != nil {
			return err
		}
		for _, root := range roots {
			d, err := parseDefinition(root.Source)
			if err != nil {
				return err
			}
			w, err := p.installed(ctx, tx, root.OID, d)
			if err != nil {
				return err
			}
			watches = append(watches, w)
		}
		return nil
	})
	return watches, err
}

// watching runs fn in a transaction of the pool, in which every statement sees what was committed before it.
func (p *Postgres) watching(ctx context.Context, fn func(pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	err := pgx.BeginTxFunc(ctx, p.pool, options, func(tx pgx.Tx) error {
		if err := p.checkSchema(ctx, tx.Conn()); err != nil {
			return err
		}
		return fn(tx)
	})
	if err != nil && !errors.Is(err, ErrInvalidWatch) && !errors.Is(err, ErrPrivilege) && !errors.Is(err, ErrSchema) {
		return fmt.Errorf("bus: watch: %w", refused(err))
	}
	return err
}
