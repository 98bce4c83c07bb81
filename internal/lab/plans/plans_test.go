package plans_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lab/plans"
	"github.com/pgcoherence/pgcoherence/internal/lab/tables"
	"github.com/pgcoherence/pgcoherence/internal/sqltext"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(pgtest.Main(m)) }

const module = "../../.."

// small are tables that do not grow.
var small = []string{"epoch", "setting", "incarnation", "pod", "migration", "tainted"}

var takesArray = regexp.MustCompile(`\$\d+(::text)?::[a-z0-9_ ]+\[\]`)

// arrayStatements finds the statements of the whole repository that take arrays.
func arrayStatements(t *testing.T) map[string]string {
	t.Helper()
	found := map[string]string{}
	err := filepath.WalkDir(module, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".sql" || strings.Contains(path, "/migration/") || strings.Contains(path, "/testdata/") {
			return err
		}

		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}

		if takesArray.Match(text) {
			name, err := filepath.Rel(module, path)
			if err != nil {
				return err
			}
			found[filepath.ToSlash(name)] = sqltext.Render(string(text), "pgcoherence")
		}

		return nil
	})
	require.NoError(t, err)
	return found
}

// TestArrayStatementsAreLinear: the cost of a statement that takes arrays is linear in their length, and its generic plan
// scans no table that grows.
func TestArrayStatementsAreLinear(t *testing.T) {
	t.Parallel()
	statements := arrayStatements(t)
	for _, name := range []string{"lock/query/renew.sql", "bus/query/reap.sql", "sessionstore/query/touch.sql"} {
		require.Contains(t, statements, name, "the search has to find known statements")
	}

	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	fill(ctx, t, pool)

	for name, sql := range statements {
		if strings.HasPrefix(name, "examples/") { // they have tables of their own
			continue
		}

		conn, err := pool.Acquire(ctx)
		require.NoError(t, err)
		root := explain(ctx, t, conn.Conn(), name, sql)
		conn.Release()
		complaints := plans.Critic{Small: small}.Complaints(root)
		assert.Empty(t, complaints, name)
	}
}

// TestLeaseStatementsAreLookUps: no statement of package lock scans a table that grows, except those that run on demand.
func TestLeaseStatementsAreLookUps(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	fill(ctx, t, pool)
	files, err := filepath.Glob(module + "/lock/query/*.sql")
	require.NoError(t, err)
	require.NotEmpty(t, files)

	for _, file := range files {
		name := filepath.Base(file)
		if name == "privileges.sql" || name == "steal.sql" { // reads the catalog, once; joins two sides of one row
			continue
		}

		text, err := os.ReadFile(file)
		require.NoError(t, err)
		conn, err := pool.Acquire(ctx)
		require.NoError(t, err)
		root := explain(ctx, t, conn.Conn(), name, sqltext.Render(string(text), "pgcoherence"))
		conn.Release()
		assert.Empty(t, plans.Critic{Small: small}.Complaints(root), name)
	}
}

// TestCriticComplains: the critic finds the joins that once made heartbeats quadratic.
func TestCriticComplains(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	pool := pgtest.New(t, nil).Pool(t)
	fill(ctx, t, pool)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()

	for _, sql := range []string{
		`WITH want AS MATERIALIZED (SELECT * FROM unnest($1::text[], $2::bigint[]) AS w (key, token)),
		      mine AS MATERIALIZED (SELECT l.key FROM want JOIN pgcoherence.lease AS l ON l.key = want.key)
		 SELECT want.key, mine.key FROM want LEFT JOIN mine ON mine.key = want.key OR mine.key > want.key`,
		`SELECT * FROM pgcoherence.lease WHERE owner = ANY ($1::text[])`,
		`WITH want AS MATERIALIZED (SELECT * FROM unnest($1::text[]) AS w (key))
		 SELECT l.key, (SELECT count(*) FROM want WHERE want.key > l.key) FROM unnest($1::text[]) AS k (key) JOIN pgcoherence.lease AS l ON l.key = k.key`,
	} {
		root := explain(ctx, t, conn.Conn(), "bad", sql)
		require.NotEmpty(t, plans.Critic{Small: small}.Complaints(root), sql)
	}
}

func explain(ctx context.Context, t *testing.T, conn *pgx.Conn, name, sql string) *plans.Node {
	t.Helper()
	description, err := conn.Prepare(ctx, "", sql)
	require.NoError(t, err, name)
	nulls := strings.TrimSuffix(strings.Repeat("NULL, ", len(description.ParamOIDs)), ", ")
	_, err = conn.Exec(ctx, "DEALLOCATE ALL; SET plan_cache_mode = force_generic_plan; SET jit = off; PREPARE planned AS "+sql, pgx.QueryExecModeSimpleProtocol)
	require.NoError(t, err, name)
	var text string
	err = conn.QueryRow(ctx, fmt.Sprintf("EXPLAIN (FORMAT JSON) EXECUTE planned (%s)", nulls), pgx.QueryExecModeSimpleProtocol).Scan(&text)
	require.NoError(t, err, name)
	var parsed []struct{ Plan *plans.Node }
	require.NoError(t, json.Unmarshal([]byte(text), &parsed))
	require.NotEmpty(t, parsed)
	return parsed[0].Plan
}

// fill creates all tables and fills those that grow.
func fill(ctx context.Context, t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	require.NoError(t, tables.Make(ctx, pool))

	for _, sql := range []string{
		`INSERT INTO pgcoherence.lease (key, token, grant_id, expires_at) SELECT 'key ' || i, i, gen_random_uuid(), clock_timestamp() FROM generate_series(1, 30000) AS i`,
		`INSERT INTO pgcoherence.lease_waiter (id, key) SELECT gen_random_uuid(), 'key ' || i % 3000 FROM generate_series(1, 20000) AS i`,
		`INSERT INTO pgcoherence.lease_share (key, token, grant_id, expires_at)
		 SELECT 'key ' || i % 20000, 100000 + i, gen_random_uuid(), clock_timestamp() FROM generate_series(1, 30000) AS i`,
		`INSERT INTO pgcoherence.event (xid, n, topic, keys) SELECT (i / 3 + 1)::text::xid8, i, 'topic', ARRAY['k' || i] FROM generate_series(1, 50000) AS i`,
		`INSERT INTO pgcoherence.pod_reply (question, pod, reply) SELECT md5((i / 50)::text)::uuid, gen_random_uuid(), '{}' FROM generate_series(1, 20000) AS i`,
		`INSERT INTO pgcoherence.session_user (user_id) SELECT 'user' || i FROM generate_series(0, 20000) AS i`,
		`INSERT INTO pgcoherence.session (key, proof, id, user_id, last_write, data, expires_at, issuer, sid)
		 SELECT substr(sha256(i::text::bytea), 1, 16), substr(sha256(i::text::bytea), 17, 16), gen_random_uuid(), 'user' || i % 20000, gen_random_uuid(), 'x',
			clock_timestamp() + interval '1 day', 'idp', i::text
		 FROM generate_series(1, 30000) AS i`,
		`ANALYZE`,
	} {
		_, err := pool.Exec(ctx, sql)
		require.NoError(t, err)
	}
}
