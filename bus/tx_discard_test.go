package bus_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// TestConnectionsAreLeftAloneAfterRelease: prepared statements are discarded again and again while many goroutines share
// few connections. Whatever fails, it fails with an error of the server, in the transaction that it belongs to: nothing
// uses a connection that was given back. The race detector and pgx' own checks ("conn busy") watch.
func TestConnectionsAreLeftAloneAfterRelease(t *testing.T) {
	t.Parallel()
	for _, discard := range []string{"DEALLOCATE ALL", "DISCARD ALL"} {
		t.Run(discard, func(t *testing.T) {
			t.Parallel()
			db, other := setup(t)
			leaveAlone(t, fewConnections(t, db.DSN), other, discard)
		})
	}
	t.Run("pgbouncer", func(t *testing.T) {
		t.Parallel()
		db, other := setup(t)
		leaveAlone(t, fewConnections(t, pgbouncer(t, db)), other, "DISCARD ALL")
	})
}

func fewConnections(t *testing.T, dsn string) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(dsn)
	require.NoError(t, err)
	config.MaxConns = 4
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

func leaveAlone(t *testing.T, pool, other *pgxpool.Pool, discard string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	p := prepare(t, pool, quick("tx"))

	const goroutines, each = 8, 60
	var committed, refused atomic.Int64
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			for i := range each {
				// One goroutine discards, the others write, publish, or are the unrelated code on the same pool.
				err := error(nil)
				key := fmt.Sprintf("%d-%d", g, i)
				switch {
				case g == 0:
					_, err = pool.Exec(ctx, discard, pgx.QueryExecModeSimpleProtocol)
				case g < 4:
					_, err = p.InTx(ctx, func(tx *bus.Tx) error {
						tx.Invalidate("item", key)
						_, err := tx.Exec(ctx, "UPDATE item SET value = value + 1 WHERE id = $1", fmt.Sprint(g))
						return err
					})
				case g < 6:
					_, err = p.Publish(ctx, bus.Event{Topic: "item", Keys: []string{key}})
				default:
					_, err = pool.Exec(ctx, "SELECT pg_sleep(0.001)")
				}

				switch {
				case err == nil && g > 0 && g < 6:
					committed.Add(1)
				case err != nil && !discarded(err):
					t.Errorf("%s: %v", key, err)
				case err != nil:
					refused.Add(1)
				}
			}
		})
	}
	wg.Wait()

	var rows int64
	require.NoError(t, other.QueryRow(ctx, "SELECT count(*) FROM pgcoherence.event").Scan(&rows))
	require.Equal(t, committed.Load(), rows, "what returned nil is in the log, and nothing else")
	require.Positive(t, committed.Load())
	t.Logf("%d committed, %d refused", committed.Load(), refused.Load())
}

// discarded reports whether the server refused because prepared statements are gone, or are there already: a pooler has
// given them to another connection.
func discarded(err error) bool {
	var pgErr *pgconn.PgError
	return errors.As(err, &pgErr) && (pgErr.Code == "26000" || pgErr.Code == "42P05")
}
