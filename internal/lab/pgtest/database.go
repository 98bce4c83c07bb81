package pgtest

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// databaseTimeout bounds creating or dropping one database, including the wait
// for other tests that do so.
const databaseTimeout = time.Minute

// Template is the content that databases start with.
type Template struct {
	// Name identifies the template in this process: Make runs once for each
	// name, for the first test that asks for it.
	Name string

	// Make fills an empty database, for example by running migrations. Database
	// sessions that are still open when it returns are terminated. An error
	// fails every test that asks for the template.
	Make func(ctx context.Context, dsn string) error
}

// DB is a database of one test.
type DB struct {
	Name   string
	DSN    string
	Server *Server // shared with other tests: do not stop, crash or close it
}

// New creates a database for one test on the server that the process shares. At
// the test's end it terminates the database's open sessions and drops it. A nil
// template means an empty database. It takes about 20 ms; the first call in a
// process also starts the server, about 600 ms.
func New(t TB, template *Template) *DB {
	t.Helper()
	skipShort(t)
	ctx, cancel := context.WithTimeout(t.Context(), DefaultStartTimeout+databaseTimeout)
	defer cancel()

	db, err := process.create(ctx, template)
	if err != nil {
		giveUp(t, err)
		return nil
	}

	t.Cleanup(func() {
		// The test's own context has ended by now.
		ctx, cancel := context.WithTimeout(context.Background(), databaseTimeout)
		defer cancel()
		if err := process.drop(ctx, db.Name); err != nil {
			t.Errorf("%v", err)
		}
	})

	return db
}

// Pool returns a pool on the database with pgx's defaults, and closes it at the
// end of t, before the database is dropped.
func (db *DB) Pool(t TB) *pgxpool.Pool {
	t.Helper()
	pool, err := pgxpool.New(t.Context(), db.DSN)
	if err != nil {
		t.Fatalf("pgtest: pool: %v", err)
		return nil
	}
	t.Cleanup(pool.Close)
	return pool
}
