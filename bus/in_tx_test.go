package bus_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// runner runs a transaction with options of either kind, so that one test holds for both.
type runner func(ctx context.Context, isolation sql.IsolationLevel, readOnly bool, attempts int, fn func(statements) error) (bus.Receipt, error)

// statements is what a transaction of either kind can do.
type statements interface {
	invalidate(key string)
	read(query string) (string, error)
	write(query string) error
}

type pgxStatements struct{ *bus.Tx }

func (s pgxStatements) invalidate(key string) { s.Invalidate("item", key) }
func (s pgxStatements) read(q string) (text string, err error) {
	err = s.QueryRow(context.Background(), q).Scan(&text)
	return text, err
}

func (s pgxStatements) write(q string) error { _, err := s.Exec(context.Background(), q); return err }

type sqlStatements struct {
	*sql.Tx
	staging *bus.Staging
}

func (s sqlStatements) invalidate(key string) { s.staging.Invalidate("item", key) }
func (s sqlStatements) read(q string) (text string, err error) {
	err = s.QueryRow(q).Scan(&text)
	return text, err
}
func (s sqlStatements) write(q string) error { _, err := s.Exec(q); return err }

func runners(t *testing.T, pool *pgxpool.Pool) (*pod, map[string]runner) {
	t.Helper()
	p := prepare(t, pool, quick("in tx"))
	db := stdlib.OpenDBFromPool(pool)
	t.Cleanup(func() { _ = db.Close() })
	return p, map[string]runner{
		"InTxWith": func(ctx context.Context, level sql.IsolationLevel, readOnly bool, attempts int, fn func(statements) error) (bus.Receipt, error) {
			cfg := &bus.TxConfig{Attempts: attempts}
			switch level {
			case sql.LevelSerializable:
				cfg.Options.IsoLevel = pgx.Serializable
			case sql.LevelRepeatableRead:
				cfg.Options.IsoLevel = pgx.RepeatableRead
			}

			if readOnly {
				cfg.Options.AccessMode = pgx.ReadOnly
			}

			return p.InTxWith(ctx, cfg, func(tx *bus.Tx) error { return fn(pgxStatements{tx}) })
		},
		"InSQLWith": func(ctx context.Context, level sql.IsolationLevel, readOnly bool, attempts int, fn func(statements) error) (bus.Receipt, error) {
			cfg := &bus.SQLConfig{Options: &sql.TxOptions{Isolation: level, ReadOnly: readOnly}, Attempts: attempts}
			return p.InSQLWith(ctx, db, cfg, func(tx *sql.Tx, s *bus.Staging) error { return fn(sqlStatements{tx, s}) })
		},
	}
}

func TestInTxOptions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	_, all := runners(t, pool)
	for name, in := range all {
		const query = "SELECT current_setting('transaction_isolation') || ' ' || current_setting('transaction_read_only')"
		for level, want := range map[sql.IsolationLevel]string{
			sql.LevelDefault: "read committed", sql.LevelRepeatableRead: "repeatable read", sql.LevelSerializable: "serializable",
		} {
			for readOnly, mode := range map[bool]string{true: "on", false: "off"} {
				receipt, err := in(ctx, level, readOnly, 0, func(s statements) error {
					got, err := s.read(query)
					require.NoError(t, err, name)
					require.Equal(t, want+" "+mode, got, name)
					return nil
				})
				require.NoError(t, err, name)
				require.True(t, receipt.IsZero())
			}
		}
		_, err := in(ctx, sql.LevelDefault, true, 3, func(s statements) error { s.invalidate("no"); return nil })
		require.ErrorIs(t, err, bus.ErrReadOnly, name)
	}

	// No configuration at all is that of InTx and InSQL.
	p := prepare(t, pool, quick("nil"))
	_, err := p.InTxWith(ctx, nil, func(tx *bus.Tx) error { tx.Invalidate("item", "nil"); return nil })
	require.NoError(t, err)
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	_, err = p.InSQLWith(ctx, db, nil, func(_ *sql.Tx, s *bus.Staging) error { s.Invalidate("item", "nil"); return nil })
	require.NoError(t, err)
	require.Equal(t, 2, events(t, pool, "nil"))
}

// TestInTxRepeats lets many goroutines increment the same counter in serializable transactions. Each conflict is repeated,
// so that none is lost and each event is in the log once. Without repetition some fail, with the server's own error.
func TestInTxRepeats(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	p, all := runners(t, pool)
	for name, in := range all {
		increment := func(attempts int, key string) (int, error) {
			runs := 0
			_, err := in(t.Context(), sql.LevelSerializable, false, attempts, func(s statements) error {
				runs++
				s.invalidate(key)
				if _, err := s.read("SELECT value::text FROM item WHERE id = '77'"); err != nil {
					return err
				}
				if err := s.write("UPDATE item SET value = value + 1 WHERE id = '77'"); err != nil {
					return fmt.Errorf("wrapped: %w", err)
				}
				return nil
			})
			return runs, err
		}

		var before int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT value FROM item WHERE id = '77'").Scan(&before))
		const goroutines, each = 4, 10
		var wg sync.WaitGroup
		for g := range goroutines {
			wg.Go(func() {
				for i := range each {
					_, err := increment(1000, fmt.Sprint(name, " ", g, " ", i))
					if err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			})
		}
		wg.Wait()
		var after, logged int
		require.NoError(t, pool.QueryRow(t.Context(), "SELECT value FROM item WHERE id = '77'").Scan(&after))
		require.Equal(t, before+goroutines*each, after, name)
		require.NoError(t, pool.QueryRow(t.Context(),
			"SELECT count(*) FROM pgcoherence.event WHERE keys[1] LIKE $1", name+" %").Scan(&logged))
		require.Equal(t, goroutines*each, logged, name)

		// A conflict on demand: another transaction is in between.
		for attempts, want := range map[int]int{0: 1, 1: 1, 2: 2, 5: 5} {
			runs := 0
			_, err := in(t.Context(), sql.LevelRepeatableRead, false, attempts, func(s statements) error {
				runs++
				s.invalidate("conflict")
				if _, err := s.read("SELECT value::text FROM item WHERE id = '78'"); err != nil {
					return err
				}
				if _, err := pool.Exec(t.Context(), "UPDATE item SET value = value + 1 WHERE id = '78'"); err != nil {
					return err
				}
				return s.write("UPDATE item SET value = value + 1 WHERE id = '78'")
			})
			requireCode(t, err, "40001")
			require.Equal(t, want, runs, name)
		}

		// What is no conflict is not repeated, and a context that has ended ends it.
		runs := 0
		_, err := in(t.Context(), sql.LevelDefault, false, 9, func(statements) error { runs++; return errors.New("caller's") })
		require.ErrorContains(t, err, "caller's")
		require.Equal(t, 1, runs)
		ctx, cancel := context.WithCancel(t.Context())
		runs = 0
		_, err = in(ctx, sql.LevelDefault, false, 9, func(s statements) error {
			runs++
			cancel()
			return s.write("DO $$ BEGIN RAISE SQLSTATE '40P01'; END $$")
		})
		require.Error(t, err)
		require.Equal(t, 1, runs)
	}
	require.Zero(t, events(t, pool, "conflict"))
	require.Zero(t, p.Stats().Uncertain, "a conflict at the commit is a known outcome")
}

// spans is a tracer that remembers the queries of the pool.
type spans struct {
	mu   sync.Mutex
	done []string
}

type spanKey struct{}

func (s *spans) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, spanKey{}, d.SQL)
}

func (s *spans) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.done = append(s.done, fmt.Sprintf("%v: %s", ctx.Value(spanKey{}), d.CommandTag))
}

// TestTracerSeesCommit: the pool's tracer sees BEGIN, the statements and COMMIT of a transaction, with or without
// invalidations, as it sees those of pgx.
func TestTracerSeesCommit(t *testing.T) {
	t.Parallel()
	db, _ := setup(t)
	for _, mode := range execModes {
		s := &spans{}
		p := prepare(t, onePool(t, db, func(c *pgxpool.Config) {
			c.ConnConfig.Tracer, c.ConnConfig.DefaultQueryExecMode = s, mode
		}), quick("traced"))
		see := func(want []string, events ...string) {
			t.Helper()
			s.done = nil

			_, err := p.InTx(t.Context(), func(tx *bus.Tx) error {
				tx.Invalidate("item", events...)
				if len(want) > 2 {
					_, err := tx.Exec(t.Context(), "UPDATE item SET value = 1 WHERE id = $1", "1")
					return err
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, want, s.done, mode)
		}
		see([]string{"begin: BEGIN", "UPDATE item SET value = 1 WHERE id = $1: UPDATE 1", "commit: COMMIT"}, "1")
		see([]string{"begin: BEGIN", "UPDATE item SET value = 1 WHERE id = $1: UPDATE 1", "commit: COMMIT"})
		see([]string{"begin: BEGIN", "commit: COMMIT"}, "1")
	}
}
