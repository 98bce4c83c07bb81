package bus_test

import (
	"context"
	"database/sql"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Wrappers, as applications and libraries write them: nothing of what is in them can be seen from their type.
type (
	wrappedPgx struct{ bus.PgxExecer }
	wrappedSQL struct{ bus.SQLExecer }
	wrappedTx  struct{ pgx.Tx }
	openTx     struct{ pgx.Tx }
)

func (w openTx) Unwrap() pgx.Tx { return w.Tx }

// TestStageNeedsTransaction: what is staged becomes visible with the data, so everything that is not in a transaction is
// refused, in every exec mode, also behind wrappers, and nothing is written.
func TestStageNeedsTransaction(t *testing.T) {
	t.Parallel()
	for _, mode := range execModes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			db, other := setup(t)
			pool := onePool(t, db, func(c *pgxpool.Config) {
				c.ConnConfig.DefaultQueryExecMode = mode
				c.MaxConns = 4
			})
			p := prepare(t, pool, quick("stage"))
			sqlDB := stdlib.OpenDBFromPool(pool)
			t.Cleanup(func() { _ = sqlDB.Close() })
			conn, err := pool.Acquire(ctx)
			require.NoError(t, err)
			defer conn.Release()
			sqlConn, err := sqlDB.Conn(ctx)
			require.NoError(t, err)
			defer func() { _ = sqlConn.Close() }()

			refused := func(name string, stage func(e bus.Event) (*bus.Staged, error)) {
				_, err := stage(bus.Event{Topic: "item", Keys: []string{"refused"}})
				require.ErrorIs(t, err, bus.ErrNotInTransaction, name)
				require.Zero(t, events(t, other, "refused"), name)
			}
			for name, db := range map[string]bus.PgxExecer{
				"nil": nil, "pool": pool, "idle connection": conn, "idle connection of pgx": conn.Conn(),
				"wrapped pool": wrappedPgx{pool}, "wrapped connection": wrappedPgx{conn},
			} {
				refused(name, func(e bus.Event) (*bus.Staged, error) { return p.Stage(ctx, db, e) })
			}
			for name, db := range map[string]bus.SQLExecer{
				"nil": nil, "sql.DB": sqlDB, "idle sql.Conn": sqlConn, "wrapped sql.DB": wrappedSQL{sqlDB}, "wrapped sql.Conn": wrappedSQL{sqlConn},
			} {
				refused(name, func(e bus.Event) (*bus.Staged, error) { return p.StageSQL(ctx, db, e) })
			}

			// The same things in a transaction are fine.
			taken := func(name string, stage func(e bus.Event) (*bus.Staged, error), end func(commit bool)) {
				_, err := stage(bus.Event{Topic: "item", Keys: []string{name}})
				require.NoError(t, err, name)
				require.Zero(t, events(t, other, name), name)
				end(true)
				require.Equal(t, 1, events(t, other, name), name)
			}
			for name, wrap := range map[string]func(pgx.Tx) bus.PgxExecer{
				"pgx.Tx":            func(tx pgx.Tx) bus.PgxExecer { return tx },
				"wrapped pgx.Tx":    func(tx pgx.Tx) bus.PgxExecer { return wrappedTx{tx} },
				"QueryRow":          func(tx pgx.Tx) bus.PgxExecer { return wrappedPgx{tx} },
				"busy pgx.Conn":     func(tx pgx.Tx) bus.PgxExecer { return tx.Conn() },
				"wrapped pgx.Conn":  func(tx pgx.Tx) bus.PgxExecer { return wrappedPgx{tx.Conn()} },
				"twice in one":      func(tx pgx.Tx) bus.PgxExecer { return wrappedPgx{wrappedPgx{tx}} },
				"savepoint of pgx ": func(tx pgx.Tx) bus.PgxExecer { sp, _ := tx.Begin(ctx); return wrappedPgx{sp} },
			} {
				for kind, begin := range map[string]func() (pgx.Tx, error){
					"of pgx":     func() (pgx.Tx, error) { return conn.Begin(ctx) },
					"of the bus": func() (pgx.Tx, error) { return p.Begin(ctx) },
				} {
					tx, err := begin()
					require.NoError(t, err)
					taken(name+" "+kind, func(e bus.Event) (*bus.Staged, error) { return p.Stage(ctx, wrap(tx), e) },
						func(bool) { require.NoError(t, tx.Commit(ctx)) })
				}
			}
			for name, wrap := range map[string]func(*sql.Tx) bus.SQLExecer{
				"sql.Tx":         func(tx *sql.Tx) bus.SQLExecer { return tx },
				"wrapped sql.Tx": func(tx *sql.Tx) bus.SQLExecer { return wrappedSQL{tx} },
			} {
				tx, err := sqlDB.BeginTx(ctx, nil)
				require.NoError(t, err)
				taken(name, func(e bus.Event) (*bus.Staged, error) { return p.StageSQL(ctx, wrap(tx), e) },
					func(bool) { require.NoError(t, tx.Commit()) })
			}
			_, err = sqlConn.ExecContext(ctx, "BEGIN")
			require.NoError(t, err)
			taken("sql.Conn", func(e bus.Event) (*bus.Staged, error) { return p.StageSQL(ctx, sqlConn, e) }, func(bool) {
				_, err := sqlConn.ExecContext(ctx, "COMMIT")
				require.NoError(t, err)
			})
		})
	}
}

var execModes = []pgx.QueryExecMode{
	pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
	pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
}

// TestReadOnlyTransaction: whatever makes a transaction read-only, invalidating in it says so.
func TestReadOnlyTransaction(t *testing.T) {
	t.Parallel()
	db, other := setup(t)
	for name, do := range map[string]func(ctx context.Context, p *pod) error{
		"option": func(ctx context.Context, p *pod) error {
			tx, err := p.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(ctx) }()
			tx.Invalidate("item", "no")
			return tx.Commit(ctx)
		},
		"option, in a savepoint": func(ctx context.Context, p *pod) error {
			tx, err := p.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
			require.NoError(t, err)
			sp, err := tx.Savepoint(ctx)
			require.NoError(t, err)
			sp.InvalidateAll("item")
			require.NoError(t, sp.Commit(ctx))
			return tx.Commit(ctx)
		},
		"SET TRANSACTION": func(ctx context.Context, p *pod) error {
			_, err := p.InTx(ctx, func(tx *bus.Tx) error {
				tx.Invalidate("item", "no")
				_, err := tx.Exec(ctx, "SET TRANSACTION READ ONLY")
				return err
			})
			return err
		},
		"Stage": func(ctx context.Context, p *pod) error {
			tx, err := other.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(ctx) }()
			_, err = p.Stage(ctx, tx, bus.Event{Topic: "item", Keys: []string{"no"}})
			return err
		},
		"a wrapped Stage": func(ctx context.Context, p *pod) error {
			tx, err := other.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(ctx) }()
			_, err = p.Stage(ctx, wrappedPgx{tx}, bus.Event{Topic: "item", Keys: []string{"no"}})
			return err
		},
		"the role's default": func(ctx context.Context, _ *pod) error {
			p := prepare(t, onePool(t, db, func(c *pgxpool.Config) {
				c.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on"
			}), quick("read only"))
			_, err := p.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"no"}})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := prepare(t, onePool(t, db, nil), quick("tx"))
			err := do(t.Context(), p)
			require.ErrorIs(t, err, bus.ErrReadOnly)
			require.NotErrorIs(t, err, bus.ErrNotPrimary, "the server is a primary")
			require.False(t, p.has("no"))
			usable(t, p.Postgres)
		})
	}

	// Without an invalidation a read-only transaction is like any other.
	p := prepare(t, onePool(t, db, nil), quick("tx"))
	tx, err := p.BeginTx(t.Context(), pgx.TxOptions{AccessMode: pgx.ReadOnly})
	require.NoError(t, err)
	tx.Invalidate("item")
	require.NoError(t, tx.Commit(t.Context()))
}

// TestInvalidateInSavepoint: code that gets a pgx.Tx, as deep as it may be, invalidates in one line.
func TestInvalidateInSavepoint(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, other := setup(t)
	p := prepare(t, onePool(t, db, nil), quick("tx"))
	_, err := p.InTx(ctx, func(tx *bus.Tx) error {
		require.NoError(t, bus.Invalidate(tx, "item", "outer"))
		return pgx.BeginFunc(ctx, tx, func(sp pgx.Tx) error {
			require.NoError(t, bus.Invalidate(sp, "item", "inner"))
			err := pgx.BeginFunc(ctx, sp, func(deeper pgx.Tx) error {
				require.NoError(t, bus.Invalidate(openTx{openTx{deeper}}, "item", "undone"))
				require.NoError(t, bus.InvalidateAll(deeper, "undone"))
				return context.Canceled
			})
			require.ErrorIs(t, err, context.Canceled)
			return nil
		})
	})
	require.NoError(t, err)
	for key, want := range map[string]int{"outer": 1, "inner": 1, "undone": 0} {
		require.Equal(t, want, events(t, other, key), key)
	}

	sp := func() *bus.Tx {
		tx, err := p.Begin(ctx)
		require.NoError(t, err)
		sp, err := tx.Savepoint(ctx)
		require.NoError(t, err)
		sp.Invalidate("item", "savepoint")
		require.NoError(t, sp.Commit(ctx))
		require.NoError(t, tx.Commit(ctx))
		return sp
	}()
	require.Equal(t, 1, events(t, other, "savepoint"))
	_, err = sp.Savepoint(ctx)
	require.ErrorIs(t, err, pgx.ErrTxClosed)

	foreign, err := other.Begin(ctx)
	require.NoError(t, err)
	defer func() { _ = foreign.Rollback(ctx) }()
	for _, tx := range []pgx.Tx{nil, foreign, wrappedTx{foreign}, openTx{foreign}, openTx{}, (*bus.Tx)(nil)} {
		name := fmt.Sprintf("%T", tx)
		require.ErrorIs(t, bus.Invalidate(tx, "item", "1"), bus.ErrForeignTx, name)
		require.ErrorIs(t, bus.InvalidateAll(tx, "item"), bus.ErrForeignTx, name)
	}
}
