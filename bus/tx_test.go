package bus_test

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

// onePool is a pool of a single connection: whoever does not give it back is found out at once.
func onePool(t *testing.T, db *pgtest.DB, change func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(db.DSN)
	require.NoError(t, err)
	config.MaxConns = 1
	if change != nil {
		change(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	require.NoError(t, err)
	t.Cleanup(pool.Close)
	return pool
}

// usable proves that the only connection came back in a state to work with.
func usable(t *testing.T, p *bus.Postgres) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	_, err := p.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"usable"}})
	require.NoError(t, err)
}

func events(t *testing.T, pool *pgxpool.Pool, key string) (n int) {
	t.Helper()
	require.NoError(t, pool.QueryRow(t.Context(),
		"SELECT count(*) FROM pgcoherence.event WHERE $1 = ANY (keys)", key).Scan(&n))
	return n
}

func TestTxIsTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, other := setup(t)
	for _, mode := range []pgx.QueryExecMode{
		pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec,
		pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
	} {
		p := prepare(t, onePool(t, db, func(c *pgxpool.Config) { c.ConnConfig.DefaultQueryExecMode = mode }), quick("tx"))
		for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
			name := fmt.Sprintf("%s, %s", mode, level)
			tx, err := p.BeginTx(ctx, pgx.TxOptions{IsoLevel: level})
			require.NoError(t, err, name)
			found, ok := bus.TxFrom(tx)
			require.True(t, ok)
			require.Same(t, tx, found)

			_, err = tx.Exec(ctx, "UPDATE item SET value = value + 1 WHERE id = '1'")
			require.NoError(t, err, name)
			rows, err := tx.Query(ctx, "SELECT id FROM item WHERE id IN ('1', '2')")
			require.NoError(t, err, name)
			ids, err := pgx.CollectRows(rows, pgx.RowTo[string])
			require.NoError(t, err, name)
			require.Len(t, ids, 2)
			n, err := tx.CopyFrom(ctx, pgx.Identifier{"item"}, []string{"id"}, pgx.CopyFromRows([][]any{{name}}))
			require.NoError(t, err, name)
			require.EqualValues(t, 1, n)
			b := &pgx.Batch{}
			b.Queue("UPDATE item SET value = 7 WHERE id = '2'")
			require.NoError(t, tx.SendBatch(ctx, b).Close(), name)
			tx.Invalidate("item", name)
			tx.Invalidate("other", "x")
			require.Zero(t, events(t, other, name), "the row is not there before the commit")
			require.NoError(t, tx.Commit(ctx), name)
			require.Equal(t, 1, events(t, other, name))
			var status string
			require.NoError(t, other.QueryRow(ctx, "SELECT pg_xact_status($1::text::xid8)", xidOf(t, tx.Receipt())).Scan(&status))
			require.Equal(t, "committed", status, "the receipt names the transaction")

			_, err = tx.Exec(ctx, "SELECT 1")
			require.ErrorIs(t, err, pgx.ErrTxClosed)
			_, err = tx.Query(ctx, "SELECT 1")
			require.ErrorIs(t, err, pgx.ErrTxClosed)
			require.ErrorIs(t, tx.QueryRow(ctx, "SELECT 1").Scan(new(int)), pgx.ErrTxClosed)
			_, err = tx.CopyFrom(ctx, pgx.Identifier{"item"}, nil, nil)
			require.ErrorIs(t, err, pgx.ErrTxClosed)
			_, err = tx.Prepare(ctx, "x", "SELECT 1")
			require.ErrorIs(t, err, pgx.ErrTxClosed)
			require.ErrorIs(t, tx.SendBatch(ctx, b).Close(), pgx.ErrTxClosed)
			_, err = tx.Begin(ctx)
			require.ErrorIs(t, err, pgx.ErrTxClosed)
		}
		usable(t, p.Postgres)
	}
}

func xidOf(t *testing.T, r bus.Receipt) string {
	t.Helper()
	text, err := r.MarshalText()
	require.NoError(t, err)
	for i, c := range text {
		if c == ':' {
			return string(text[i+1:])
		}
	}
	t.Fatalf("receipt %q", text)
	return ""
}

// What fails at or before the commit publishes nothing, says so, and gives the connection back.
func TestTxFails(t *testing.T) {
	t.Parallel()
	db, other := setup(t)
	_, err := other.Exec(t.Context(), `CREATE TABLE child (item text REFERENCES item (id) DEFERRABLE INITIALLY DEFERRED)`)
	require.NoError(t, err)

	for name, test := range map[string]struct {
		options pgx.TxOptions
		do      func(ctx context.Context, tx *bus.Tx) error
		ctx     func(context.Context) context.Context
		want    func(t *testing.T, err error)
	}{
		"failed statement": {
			do: func(ctx context.Context, tx *bus.Tx) error {
				_, err := tx.Exec(ctx, "SELECT 1/0")
				require.ErrorContains(t, err, "division by zero")
				return nil
			},
			want: func(t *testing.T, err error) { require.ErrorIs(t, err, pgx.ErrTxCommitRollback) },
		},
		"deferred constraint": {
			do: func(ctx context.Context, tx *bus.Tx) error {
				_, err := tx.Exec(ctx, "INSERT INTO child VALUES ('nobody')")
				return err
			},
			want: func(t *testing.T, err error) { requireCode(t, err, "23503") },
		},
		"read-only transaction": {
			options: pgx.TxOptions{AccessMode: pgx.ReadOnly},
			want: func(t *testing.T, err error) {
				require.ErrorIs(t, err, bus.ErrReadOnly)
			},
		},
		"context ended": {
			ctx: func(ctx context.Context) context.Context {
				ended, cancel := context.WithCancel(ctx)
				cancel()
				return ended
			},
			want: func(t *testing.T, err error) { require.ErrorIs(t, err, context.Canceled) },
		},
		"connection closed": {
			do: func(ctx context.Context, tx *bus.Tx) error { return tx.Conn().Close(ctx) },
			want: func(t *testing.T, err error) {
				require.Error(t, err)
				require.NotErrorIs(t, err, bus.ErrOutcomeUnknown, "nothing was sent")
			},
		},
		"rolled back outside": {
			do: func(ctx context.Context, tx *bus.Tx) error {
				_, err := tx.Exec(ctx, "rollback")
				return err
			},
			want: func(t *testing.T, err error) { require.ErrorIs(t, err, bus.ErrTxEndedOutside) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := prepare(t, onePool(t, db, nil), quick("tx"))
			tx, err := p.BeginTx(t.Context(), test.options)
			require.NoError(t, err)
			tx.Invalidate("item", name)

			if test.do != nil {
				require.NoError(t, test.do(t.Context(), tx))
			}

			ctx := t.Context()
			if test.ctx != nil {
				ctx = test.ctx(ctx)
			}

			err = tx.Commit(ctx)
			test.want(t, err)
			require.ErrorIs(t, tx.Rollback(t.Context()), pgx.ErrTxClosed)

			if name == "rolled back outside" {
				require.Equal(t, 1, events(t, other, name), "what the transaction did is not known, so its events go out")
				require.True(t, p.has(name) || len(p.all()) == 0)
			} else {
				require.Zero(t, events(t, other, name))
				require.True(t, tx.Receipt().IsZero())
				require.False(t, p.has(name))
			}

			usable(t, p.Postgres)
		})
	}
}

func requireCode(t *testing.T, err error, code string) {
	t.Helper()
	var pgErr *pgconn.PgError
	require.ErrorAs(t, err, &pgErr)
	require.Equal(t, code, pgErr.Code)
}

func TestTxCommittedOutside(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, other := setup(t)
	p := prepare(t, onePool(t, db, nil), quick("tx"))
	tx, err := p.Begin(ctx)
	require.NoError(t, err)
	tx.Invalidate("item", "1")
	_, err = tx.Exec(ctx, "UPDATE item SET value = 9 WHERE id = '1'; COMMIT")
	require.NoError(t, err)
	require.ErrorIs(t, tx.Commit(ctx), bus.ErrTxEndedOutside)
	require.False(t, tx.Receipt().IsZero(), "published on its own")
	require.Equal(t, 1, events(t, other, "1"))
	eventually(t, func() bool { return p.has("1") }, "own subscribers have it")

	tx, err = p.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "rollback")
	require.NoError(t, err)
	require.ErrorIs(t, tx.Commit(ctx), bus.ErrTxEndedOutside, "even with nothing to publish")
	usable(t, p.Postgres)
}

// The server ends the connection in the middle of the commit: the outcome is unknown, own subscribers drop the keys,
// and the pool recovers.
// deafened loses the answer to the next COMMIT, once armed: the server has committed, the client finds the connection
// closed without a word.
type deafened struct {
	net.Conn
	armed *atomic.Bool
}

func (d deafened) Write(b []byte) (int, error) {
	if !bytes.Contains(b, []byte("pgc_commit")) || !d.armed.CompareAndSwap(true, false) {
		return d.Conn.Write(b)
	}
	n, err := d.Conn.Write(b)
	_, _ = d.Read(make([]byte, 4096)) // the answer: it has committed
	_ = d.Close()
	return n, err
}

// TestTxAnswerLost: pgx calls the error of an answer that was lost safe to retry, and it is not.
func TestTxAnswerLost(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, other := setup(t)
	armed := &atomic.Bool{}
	p := prepare(t, onePool(t, db, func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			return deafened{conn, armed}, err
		}
	}), quick("tx"))
	usable(t, p.Postgres) // the statements are prepared, so that the next of their names goes with COMMIT
	tx, err := p.Begin(ctx)
	require.NoError(t, err)
	_, err = tx.Exec(ctx, "UPDATE item SET value = 77 WHERE id = '5'")
	require.NoError(t, err)
	tx.Invalidate("item", "lost")
	armed.Store(true)
	err = tx.Commit(ctx)
	require.False(t, armed.Load())
	require.ErrorIs(t, err, bus.ErrOutcomeUnknown)
	require.False(t, pgconn.SafeToRetry(err))
	eventually(t, func() bool { return p.has("lost") }, "own subscribers drop the key")
	require.EqualValues(t, 1, p.Stats().Uncertain)
	var value int
	require.NoError(t, other.QueryRow(ctx, "SELECT value FROM item WHERE id = '5'").Scan(&value))
	require.Equal(t, 77, value, "it did commit")
	usable(t, p.Postgres)
}

func TestTxOutcomeUnknown(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, other := setup(t)

	// A deferred trigger that sleeps makes COMMIT take long enough to be interrupted.
	_, err := other.Exec(ctx, `
		CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
		CREATE CONSTRAINT TRIGGER slow AFTER UPDATE ON item DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION slow()`)
	require.NoError(t, err)

	for name, interrupt := range map[string]func(tx *bus.Tx, cancel context.CancelFunc){
		"backend terminated": func(tx *bus.Tx, _ context.CancelFunc) {
			_, err := other.Exec(ctx, "SELECT pg_terminate_backend($1)", tx.Conn().PgConn().PID())
			require.NoError(t, err)
		},
		"context ended": func(_ *bus.Tx, cancel context.CancelFunc) { cancel() },
	} {
		p := prepare(t, onePool(t, db, nil), quick("tx"))
		tx, err := p.Begin(ctx)
		require.NoError(t, err)
		_, err = tx.Exec(ctx, "UPDATE item SET value = value + 1 WHERE id = '5'")
		require.NoError(t, err)
		tx.Invalidate("item", name)
		pid := tx.Conn().PgConn().PID()
		commit, cancel := context.WithCancel(ctx)
		result := make(chan error, 1)
		go func() { result <- tx.Commit(commit) }()

		eventually(t, func() bool {
			var sleeping bool
			require.NoError(t, other.QueryRow(ctx, `SELECT coalesce(wait_event = 'PgSleep', false) FROM pg_stat_activity
				WHERE pid = $1 UNION ALL SELECT false LIMIT 1`, pid).Scan(&sleeping))
			return sleeping
		}, "commit is under way")

		interrupt(tx, cancel)
		err = <-result
		cancel()
		require.ErrorIs(t, err, bus.ErrOutcomeUnknown, name)
		require.False(t, pgconn.SafeToRetry(err), name)
		eventually(t, func() bool { return p.has(name) }, "own subscribers drop the keys")
		require.True(t, p.all()[0].Uncertain)
		require.EqualValues(t, 1, p.Stats().Uncertain)
		usable(t, p.Postgres)
	}
}

// A handle of a large object outlives the transaction in the caller's hands; it must not reach into the connection's
// next life. This pins what finish relies on in pgx.
func TestTxLargeObjectsAfterCommit(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, _ := setup(t)
	pool := onePool(t, db, nil)
	p := prepare(t, pool, quick("tx"))
	tx, err := p.Begin(ctx)
	require.NoError(t, err)
	objects := tx.LargeObjects()
	oid, err := objects.Create(ctx, 0)
	require.NoError(t, err)
	tx.Invalidate("item", "1")
	before := tx.Conn().PgConn().PID()
	require.NoError(t, tx.Commit(ctx))
	require.ErrorIs(t, objects.Unlink(ctx, oid), pgx.ErrTxClosed)
	conn, err := pool.Acquire(ctx)
	require.NoError(t, err)
	defer conn.Release()

	require.Equal(t, before, conn.Conn().PgConn().PID(), "the connection stayed in the pool")
	require.False(t, conn.Conn().IsClosed())
}

// TestTxAfterDiscard: somebody discards what was prepared on the connection. A transaction with statements fails once, and
// the next works. One that only publishes is sent again.
func TestTxAfterDiscard(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, other := setup(t)
	for _, discard := range []string{"DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE pgc_begin", "DEALLOCATE pgc_commit", "DEALLOCATE pgc_event_pgcoherence"} {
		pool := onePool(t, db, nil)
		p := prepare(t, pool, quick("tx"))
		usable(t, p.Postgres)
		_, err := pool.Exec(ctx, discard, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
		receipt, err := p.Publish(ctx, bus.Event{Topic: "item", Keys: []string{discard}})
		require.NoError(t, err, discard)
		require.NotZero(t, receipt)
		require.Equal(t, 1, events(t, other, discard), discard)
		usable(t, p.Postgres)

		update := func(key string) error {
			_, err := p.InTx(ctx, func(tx *bus.Tx) error {
				tx.Invalidate("item", key)
				_, err := tx.Exec(ctx, "UPDATE item SET value = value + 1 WHERE id = $1", "1")
				return err
			})
			return err
		}
		require.NoError(t, update("before"), discard)
		_, err = pool.Exec(ctx, discard, pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
		if err = update("refused " + discard); err != nil { // a BEGIN that is gone is sent again, too
			requireCode(t, err, "26000")
			require.Zero(t, events(t, other, "refused "+discard))
		}
		require.NoError(t, update("after "+discard), discard)
		require.Equal(t, 1, events(t, other, "after "+discard))
	}
}

func TestInTx(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, other := setup(t)
	p := prepare(t, onePool(t, db, nil), quick("tx"))
	receipt, err := p.InTx(ctx, func(tx *bus.Tx) error {
		tx.InvalidateAll("item")
		return nil
	})
	require.NoError(t, err)
	require.False(t, receipt.IsZero())
	receipt, err = p.InTx(ctx, func(tx *bus.Tx) error {
		tx.Invalidate("item", "no")
		return context.DeadlineExceeded
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.True(t, receipt.IsZero())

	require.Panics(t, func() {
		_, _ = p.InTx(ctx, func(tx *bus.Tx) error {
			tx.Invalidate("item", "no")
			panic("caller's")
		})
	})

	require.Zero(t, events(t, other, "no"))
	usable(t, p.Postgres)
}

func TestPublishWithoutSchema(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, nil)
	p := prepare(t, onePool(t, db, nil), quick("tx"))
	_, err := p.Publish(ctx, bus.Event{Topic: "item", All: true})
	require.ErrorIs(t, err, bus.ErrSchema)
	_, err = p.Begin(ctx)
	require.ErrorIs(t, err, bus.ErrSchema, "and the caller's transaction never began")
	_, err = p.Pods(ctx)
	require.ErrorIs(t, err, bus.ErrSchema)
	err = p.Run(ctx)
	require.ErrorIs(t, err, bus.ErrSchema)
	require.ErrorContains(t, err, "bus.Migrate")
}

func TestPublishOnClosedPool(t *testing.T) {
	t.Parallel()
	_, pool := setup(t)
	p := prepare(t, pool, quick("tx"))
	pool.Close()
	_, err := p.Publish(t.Context(), bus.Event{Topic: "item", All: true})
	require.ErrorContains(t, err, "closed pool")
	require.False(t, p.has("*"))
}

// What is published before Run and after it is in the log, and other pods get it.
func TestPublishOutsideRun(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	p := prepare(t, pool, quick("late"))
	_, err := p.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"unheard"}})
	require.NoError(t, err, "nobody runs yet")

	other := start(t, pool, quick("other"))
	_, err = p.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"before"}})
	require.NoError(t, err)
	eventually(t, func() bool { return other.has("before") && p.has("before") }, "published before Run")
	require.Equal(t, bus.Starting, p.State())
	require.False(t, p.Fresh())

	p.run(t)
	p.waitReady(t)
	require.ErrorIs(t, p.Run(ctx), bus.ErrRunning)
	p.stop()
	require.Equal(t, bus.Closed, p.State())
	require.False(t, p.Fresh())
	require.NoError(t, <-p.err)
	require.Equal(t, bus.ReasonClosed, p.reasons()[len(p.reasons())-1])
	require.ErrorIs(t, p.Run(ctx), bus.ErrRunning)

	_, err = p.Publish(ctx, bus.Event{Topic: "item", Keys: []string{"after"}})
	require.NoError(t, err)
	eventually(t, func() bool { return other.has("after") && p.has("after") }, "published after Run")
	pods, err := other.Pods(ctx)
	require.NoError(t, err)
	require.Len(t, pods, 1, "who leaves takes its row along")
}
