package watch

import (
	"cmp"
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/migrate"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

// DefaultSchema is the default of Config.Schema.
const DefaultSchema = "pgcoherence"

// Config configures an [Installer]. A nil or zero Config uses the defaults.
type Config struct {
	// Schema is the schema of the bus, created by bus.Migrate. Defaults to DefaultSchema.
	Schema string
}

// DB is what an Installer needs of a database: a *pgxpool.Pool, or a *pgx.Conn.
type DB interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// Installer installs triggers on tables and removes them. Make it with [New]. Its methods are safe for concurrent use
// if those of the DB are.
type Installer struct {
	db     DB
	schema string
	sql    *queries
}

// New returns an Installer for the bus in a schema of db. It does no I/O. The error is ErrConfig.
func New(db DB, cfg *Config) (*Installer, error) {
	var c Config
	if cfg != nil {
		c = *cfg
	}
	c.Schema = cmp.Or(c.Schema, DefaultSchema)
	if db == nil {
		return nil, fmt.Errorf("%w: db is nil", ErrConfig)
	}
	if err := sqltext.CheckSchema(c.Schema); err != nil {
		return nil, fmt.Errorf("%w: Schema: %w", ErrConfig, err)
	}
	return &Installer{db: db, schema: c.Schema, sql: loadQueries(c.Schema)}, nil
}

// Install installs triggers on a table, and reports whether it had to change anything. With an installed watch it
// changes nothing and takes no locks; with another definition for the same table and topic it replaces the installed
// one. It restores triggers that were dropped or disabled. Whenever it changes something, it also invalidates the
// whole topic, because earlier writes were not seen.
//
// The role must own the table and be the owner of the bus's schema, or be a member of both owners, like the role that
// runs bus.Migrate. Install waits, until ctx ends, for transactions that write to the table, and later ones wait
// behind it (SHARE ROW EXCLUSIVE). The error is [ErrInvalid], [ErrPrivilege], [ErrSchema], or an error of the
// database.
func (i *Installer) Install(ctx context.Context, w Watch) (changed bool, err error) {
	if err := w.check(); err != nil {
		return false, err
	}
	err = i.inTx(ctx, func(tx pgx.Tx) error {
		table, err := i.findTable(ctx, tx, w.Table, w.Topic)
		if err != nil {
			return err
		}
		d, err := table.define(w)
		if err != nil {
			return err
		}

		// Most often it is there already: then no lock is taken.
		tree, err := i.readTree(ctx, tx, table.oid)
		if err != nil || len(tree.problems(i.schema, d)) == 0 {
			return err
		}
		if err := table.mayWatch(i.schema); err != nil {
			return err
		}

		// Another process may have installed it since.
		if err := i.lock(ctx, tx); err != nil {
			return err
		}
		if tree, err = i.readTree(ctx, tx, table.oid); err != nil || len(tree.problems(i.schema, d)) == 0 {
			return err
		}
		changed = true
		return i.install(ctx, tx, table, tree, d)
	})
	return changed && err == nil, err
}

// Uninstall removes the triggers of a watch from a table and its partitions. It is a no-op if there is no such watch,
// and an error if there is no such table. If there are triggers to remove, it takes an ACCESS EXCLUSIVE lock on the
// table.
func (i *Installer) Uninstall(ctx context.Context, table, topic string) error {
	if err := (&Watch{Table: table, Topic: topic}).check(); err != nil {
		return err
	}
	return i.inTx(ctx, func(tx pgx.Tx) error {
		t, err := i.findTable(ctx, tx, table, topic)
		if err != nil {
			return err
		}
		if err := i.lock(ctx, tx); err != nil {
			return err
		}

		tree, err := i.readTree(ctx, tx, t.oid)
		if err != nil {
			return err
		}

		return i.uninstall(ctx, tx, tree, topic)
	})
}

// List returns the watches that are installed in the database, by any program, sorted by table. It needs only the
// right to read the bus's table of migrations.
func (i *Installer) List(ctx context.Context) (watches []Watch, err error) {
	err = i.inTx(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, i.sql.roots)
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
			w, err := i.readWatch(ctx, tx, root.OID, d)
			if err != nil {
				return err
			}
			watches = append(watches, w)
		}
		return nil
	})
	return watches, err
}

// inTx runs fn in a transaction in which every statement sees what was committed before it.
func (i *Installer) inTx(ctx context.Context, fn func(pgx.Tx) error) error {
	options := pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}
	return explain(pgx.BeginTxFunc(ctx, i.db, options, func(tx pgx.Tx) error {
		version, err := migrate.Component{Name: "bus"}.Version(ctx, tx, i.schema)
		if err != nil {
			return err
		}
		if version == 0 {
			return fmt.Errorf("%w: schema %s: call bus.Migrate", ErrSchema, sqltext.Quote(i.schema))
		}
		return fn(tx)
	}))
}

// lock makes watches of this schema change one after the other, and not while someone migrates.
func (i *Installer) lock(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, sqltext.AdvisoryLock, sqltext.LockName(i.schema))
	return err
}
