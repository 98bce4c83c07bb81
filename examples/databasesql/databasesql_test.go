package databasesql_test

import (
	"context"
	"database/sql"
	"log/slog"
	"path/filepath"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	"github.com/jmoiron/sqlx"
	_ "github.com/lib/pq"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
	"go.uber.org/goleak"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"
	_ "modernc.org/sqlite"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/cache"
	"github.com/pgcoherence/pgcoherence/examples/databasesql"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(pgtest.Main(m), goleak.IgnoreTopFunction("database/sql.(*DB).connectionOpener"))
}

var quiet = slog.New(slog.DiscardHandler)

const patience = 30 * time.Second

// repositories has one implementation for each way to the database.
var repositories = map[string]func(t *testing.T, b *bus.Postgres, dsn string) (databasesql.Repository, error){
	"lib/pq": func(t *testing.T, b *bus.Postgres, dsn string) (databasesql.Repository, error) {
		return databasesql.NewPlain(b, open(t, "postgres", dsn))
	},
	"pgx stdlib": func(t *testing.T, b *bus.Postgres, dsn string) (databasesql.Repository, error) {
		return databasesql.NewPlain(b, open(t, "pgx", dsn))
	},
	"sqlx": func(t *testing.T, b *bus.Postgres, dsn string) (databasesql.Repository, error) {
		return databasesql.NewSqlx(b, sqlx.NewDb(open(t, "pgx", dsn), "pgx"))
	},
	"sqlc": func(t *testing.T, b *bus.Postgres, dsn string) (databasesql.Repository, error) {
		return databasesql.NewSqlc(b, open(t, "postgres", dsn))
	},
	"bun": func(t *testing.T, b *bus.Postgres, dsn string) (databasesql.Repository, error) {
		return databasesql.NewBun(b, bun.NewDB(open(t, "pgx", dsn), pgdialect.New()))
	},
	"gorm": func(t *testing.T, b *bus.Postgres, dsn string) (databasesql.Repository, error) {
		db, err := gorm.Open(postgres.New(postgres.Config{Conn: open(t, "pgx", dsn)}), &gorm.Config{Logger: logger.Discard})
		require.NoError(t, err)
		return databasesql.NewGorm(b, db)
	},
}

func open(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, db.Close()) })
	return db
}

// pod opens a bus in the way an application does.
func pod(t *testing.T, dsn, name string) *bus.Postgres {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	b, err := bus.Open(ctx, dsn, &bus.Config{Name: name, Logger: quiet}, &bus.OpenConfig{Migrate: &bus.MigrateConfig{}, MaxConns: 2})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func database(t *testing.T) string {
	t.Helper()
	dsn := pgtest.New(t, nil).DSN
	_, err := open(t, "pgx", dsn).ExecContext(t.Context(), databasesql.Schema)
	require.NoError(t, err)
	return dsn
}

// TestRepositories: a deposit on one pod is visible on it at once and on the other soon, for every implementation.
func TestRepositories(t *testing.T) {
	t.Parallel()
	dsn := database(t)
	a, b := pod(t, dsn, "a"), pod(t, dsn, "b")
	for name, makeRepository := range repositories {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			here, err := makeRepository(t, a, dsn)
			require.NoError(t, err)
			there, err := makeRepository(t, b, dsn)
			require.NoError(t, err)
			t.Cleanup(func() {
				require.NoError(t, here.Close())
				require.NoError(t, there.Close())
			})

			before, err := there.Account(ctx, 1)
			require.NoError(t, err)
			require.Equal(t, "ann", before.Owner)
			_, err = here.Account(ctx, 99)
			require.ErrorIs(t, err, cache.ErrNotFound)

			require.NoError(t, here.Deposit(ctx, 1, 5))
			after, err := here.Account(ctx, 1)
			require.NoError(t, err)
			require.Equal(t, before.Balance+5, after.Balance, "read your writes")
			require.Eventually(t, func() bool {
				got, err := there.Account(ctx, 1)
				return err == nil && got.Balance == after.Balance
			}, patience, time.Millisecond)
		})
	}
}

// TestOneProcess: the same application runs without Postgres.
func TestOneProcess(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := open(t, "sqlite", "file:"+filepath.Join(t.TempDir(), "app.db")+"?_pragma=busy_timeout(5000)")
	_, err := db.ExecContext(ctx, databasesql.Schema)
	require.NoError(t, err)
	r, err := databasesql.NewPlain(bus.NewLocal(), db)
	require.NoError(t, err)
	defer func() { require.NoError(t, r.Close()) }()

	got, err := r.Account(ctx, 2)
	require.NoError(t, err)
	require.EqualValues(t, 20, got.Balance)
	require.NoError(t, r.Deposit(ctx, 2, 5))
	got, err = r.Account(ctx, 2)
	require.NoError(t, err)
	require.EqualValues(t, 25, got.Balance)
	require.ErrorIs(t, r.Deposit(ctx, 99, 5), cache.ErrNotFound)
}

// TestMembers: every program may write, in any language. Both triggers and Go write a key of two columns in the same way.
func TestMembers(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	dsn := database(t)
	db := open(t, "postgres", dsn)
	pods := [2]*databasesql.Members{}
	for i, name := range []string{"a", "b"} {
		var err error
		pods[i], err = databasesql.NewMembers(ctx, pod(t, dsn, name), db)
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, pods[i].Close()) })
	}
	odd := databasesql.MemberKey{Team: "a,b", Person: "bob"}
	for _, m := range pods {
		role, err := m.Role(ctx, odd)
		require.NoError(t, err)
		require.Equal(t, "guest", role)
	}

	require.NoError(t, pods[0].SetRole(ctx, odd, "owner"))
	role, err := pods[0].Role(ctx, odd)
	require.NoError(t, err)
	require.Equal(t, "owner", role, "the writer reads its write")
	require.Eventually(t, func() bool {
		role, err := pods[1].Role(ctx, odd)
		return err == nil && role == "owner"
	}, patience, time.Millisecond)

	_, err = db.ExecContext(ctx, "DELETE FROM members WHERE team = 'a,b'") // a program without this library
	require.NoError(t, err)
	for _, m := range pods {
		require.Eventually(t, func() bool {
			_, err := m.Role(ctx, odd)
			return err != nil
		}, patience, time.Millisecond)
	}
}
