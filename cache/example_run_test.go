package cache_test

import (
	"bytes"
	"context"
	"database/sql"
	"io"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// surroundings are what an example finds in its program.
type surroundings struct {
	ctx  context.Context //nolint:containedctx // it lives as long as the example
	bus  *bus.Postgres
	pool *pgxpool.Pool
	db   *sql.DB
	out  io.Writer
}

// application returns the surroundings of the example that runs.
var application func() surroundings

// The examples of repositories, on a real database: what was read before the write, after it, and what does not exist. That of
// GORM is in examples/databasesql.
func TestExamples_Repositories(t *testing.T) { //nolint:paralleltest // examples have no parameters
	pool := pgtest.New(t, template).Pool(t)
	_, err := pool.Exec(t.Context(), "CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL)")
	require.NoError(t, err)
	db := stdlib.OpenDBFromPool(pool)
	defer db.Close()

	b := pod(t, pool)
	for name, example := range map[string]func(){
		"pgxpool": ExampleNew_pgxpool, "database/sql": ExampleNew_databaseSQL,
	} {
		_, err = pool.Exec(t.Context(), "INSERT INTO users VALUES (7, 'Grace') ON CONFLICT (id) DO UPDATE SET name = excluded.name")
		require.NoError(t, err)
		var out bytes.Buffer
		application = func() surroundings { return surroundings{t.Context(), b, pool, db, &out} }
		example()
		require.Equal(t, "Grace <nil>\nAda <nil>\ntrue\n", out.String(), name)
	}
}
