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

// Config is how an Installer works. A nil or zero Config uses the defaults.
type Config struct {
	// Schema is the schema of the bus, made by bus.Migrate. Defaults to DefaultSchema.
	Schema string
}

// DB is what an Installer needs of a database: a *pgxpool.Pool, or a *pgx.Conn.
type DB interface {
	BeginTx(ctx context.Context, options pgx.TxOptions) (pgx.Tx, error)
}

// Installer puts triggers on tables and takes them off. Make it with New. Its methods are safe for concurrent use if
// those of the DB are.
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

// Install puts triggers on a table and reports whether it had to change anything. With the same watch a second time it
// changes nothing and locks nothing; with another definition for the same table and topic it replaces the one before.
// Triggers that were dropped or disabled come back. Whenever it does change something it also invalidates the whole
// topic, for what was written unseen.
//
// It needs a role that owns the table and that is the owner of the bus' schema, or a member of both roles, such as the
// one that runs bus.Migrate. It waits, as long as ctx lets it, for transactions that are writing to the table, while
// later ones wait behind it (SHARE ROW EXCLUSIVE). The error is ErrInvalid, ErrPrivilege or ErrSchema, or the database's.
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

// Uninstall takes the triggers of a watch off a table and its partitions. It is a no-op if there is no such watch, and
// an error if there is no such table. It takes an ACCESS EXCLUSIVE lock of the table if there is something to take off.
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

// List returns what is installed in the database, by table, whichever program put it there. It needs no right but to
// read the bus' table of migrations.
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
