package pgtest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// made counts how often a template was made, over all runs of the tests.
var made atomic.Int32

var counted = &pgtest.Template{Name: "counted", Make: func(ctx context.Context, dsn string) error {
	made.Add(1)
	return marked.Make(ctx, dsn)
}}

// marked is a template with one row, whose maker leaves a session open.
var marked = &pgtest.Template{Name: "marked", Make: func(ctx context.Context, dsn string) error {
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "create table marks (n int); insert into marks values (7)")
	return err // the session stays open: New has to handle that
}}

func TestNew_DatabasesAreIsolatedCopies(t *testing.T) {
	if testing.Short() {
		t.Skip("*** NOT TESTED: its goroutines need a Postgres, and -short leaves those tests out")
	}
	t.Parallel()
	var wg sync.WaitGroup
	databases := make([]*pgtest.DB, 6)
	for i := range databases {
		wg.Go(func() { databases[i] = pgtest.New(t, counted) })
	}

	wg.Wait()

	names := map[string]bool{}
	for i, db := range databases {
		require.NotNil(t, db)
		names[db.Name] = true
		require.Same(t, databases[0].Server, db.Server)
		pool := db.Pool(t)
		_, err := pool.Exec(t.Context(), "insert into marks values ($1)", i)
		require.NoError(t, err)
	}

	require.Len(t, names, len(databases))

	for _, db := range databases {
		require.Equal(t, 2, query[int](t, db.DSN, "select count(*) from marks"))
	}

	require.EqualValues(t, 1, made.Load(), "the template is made once")
}

func TestNew_EmptyDatabase(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, nil)
	require.Equal(t, db.Name, query[string](t, db.DSN, "select current_database()"))
	require.Zero(t, query[int](t, db.DSN, "select count(*) from pg_tables where schemaname = 'public'"))
}

func TestNew_DropsDatabaseWithSessions(t *testing.T) {
	t.Parallel()
	keep := pgtest.New(t, nil)
	var name string
	t.Run("inner", func(t *testing.T) {
		db := pgtest.New(t, marked)
		name = db.Name
		conn, err := pgx.Connect(t.Context(), db.DSN)
		require.NoError(t, err)
		require.NoError(t, conn.Ping(t.Context())) // the connection stays open
	})
	require.False(t, query[bool](t, keep.DSN, "select exists (select from pg_database where datname = $1)", name))
}

func TestNew_BrokenTemplateFailsEachTest(t *testing.T) {
	t.Parallel()
	calls := 0
	name := "broken " + rand.Text() // the process remembers it over several runs
	broken := &pgtest.Template{Name: name, Make: func(context.Context, string) error { calls++; return errors.New("no such migration") }}
	for range 2 {
		fake := &fakeTB{ctx: t.Context()}
		require.Nil(t, pgtest.New(fake, broken))
		require.Empty(t, fake.skipped)
		require.Contains(t, fake.fatal, "no such migration")
		require.Contains(t, fake.fatal, "template \"broken ")
	}
	require.Equal(t, 1, calls)
}

func TestNew_RoleWithoutCreatedb(t *testing.T) {
	db := pgtest.New(t, nil)
	role := db.Name + "_role"
	exec(t, db.DSN, "create role "+role+" login password 'x'")
	defer exec(t, db.DSN, "drop role "+role)
	config, err := pgx.ParseConfig(db.DSN)
	require.NoError(t, err)
	t.Setenv(pgtest.EnvKind, "dsn")
	t.Setenv(pgtest.EnvDatabaseURL, "host="+config.Host+" port="+itoa(int(config.Port))+" user="+role+" password=x dbname="+db.Name)
	other := pgtest.NewShared()
	defer func() { require.NoError(t, other.Shutdown(t.Context())) }()
	require.ErrorContains(t, other.Create(t.Context(), marked), "grant it CREATEDB")
}

func TestNew_TwoProcessesOnOneServer(t *testing.T) {
	db := pgtest.New(t, nil)
	t.Setenv(pgtest.EnvKind, "dsn")
	t.Setenv(pgtest.EnvDatabaseURL, db.DSN)
	other := pgtest.NewShared()
	require.NoError(t, other.Create(t.Context(), marked))
	prefix := other.Prefix()
	const count = "select count(*) from pg_database where datname like $1"
	require.Equal(t, 2, query[int](t, db.DSN, count, prefix+"%"), "a template and a copy")
	require.NoError(t, other.Shutdown(t.Context()))
	require.Equal(t, 1, query[int](t, db.DSN, count, prefix+"%"), "the template goes, the copy is its test's")
	exec(t, db.DSN, "drop database "+prefix+"_2")
}
