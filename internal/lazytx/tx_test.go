package lazytx_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
	"github.com/pgcoherence/pgcoherence/internal/lazytx"
)

func begin(t testing.TB, conn *pgx.Conn) *lazytx.Tx {
	t.Helper()
	tx, err := lazytx.Begin(t.Context(), conn, pgx.TxOptions{})
	require.NoError(t, err)
	return tx
}

func value(t testing.TB, conn *pgx.Conn, id string) (v int) {
	t.Helper()
	require.NoError(t, conn.QueryRow(t.Context(), "SELECT coalesce(sum(value), -1) FROM item WHERE id = $1", id).Scan(&v))
	return v
}

// TestRoundTrips counts what is sent: nothing for a transaction without statements, one message for the first statement
// and its BEGIN, and one for everything with CommitWith. It pins that making and closing pgx' transaction sends nothing.
func TestRoundTrips(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	for _, mode := range modes[:4] {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			conn, w := connectWired(t, db.DSN, func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode })
			const update = "UPDATE item SET value = value + 1 WHERE id = $1"
			tx := begin(t, conn)
			_, err := tx.Exec(ctx, update, "1") // prepares
			require.NoError(t, err)
			require.NoError(t, tx.Rollback(ctx))

			statement := 1
			if mode == pgx.QueryExecModeDescribeExec {
				statement = 2 // one to describe it
			}
			require.Zero(t, w.sent(func() { require.NoError(t, begin(t, conn).Commit(ctx)) }))
			require.Zero(t, w.sent(func() { require.NoError(t, begin(t, conn).Rollback(ctx)) }))
			require.Equal(t, statement, w.sent(func() {
				tx = begin(t, conn)
				tag, err := tx.Exec(ctx, update, "1")
				require.NoError(t, err)
				require.EqualValues(t, 1, tag.RowsAffected())
			}))
			require.Equal(t, byte('T'), conn.PgConn().TxStatus())
			require.True(t, tx.Begun())
			require.Equal(t, 1, w.sent(func() {
				var read []string
				add := func(b *pgconn.Batch) {
					b.ExecParams("SELECT 7", nil, nil, nil, nil)
					b.ExecParams("SELECT generate_series(8, 9)", nil, nil, nil, nil)
				}
				tag, err := tx.CommitWith(ctx, add, func(row [][]byte) { read = append(read, string(row[0])) })
				require.NoError(t, err)
				require.Equal(t, []string{"7", "8", "9"}, read)
				require.Equal(t, "COMMIT", tag.String())
				tx.Finish()
			}))
			require.Zero(t, w.sent(func() { require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxClosed) }))

			require.Equal(t, 1, w.sent(func() {
				tx = begin(t, conn)
				tag, err := tx.CommitWith(ctx, func(b *pgconn.Batch) {
					b.ExecParams("UPDATE item SET value = 500 WHERE id = '50'", nil, nil, nil, nil)
				}, noRows)
				require.NoError(t, err)
				require.Equal(t, "COMMIT", tag.String())
				tx.Finish()
			}), "BEGIN, a statement and COMMIT")
			require.Equal(t, byte('I'), conn.PgConn().TxStatus())
			require.Zero(t, w.sent(func() { require.ErrorIs(t, tx.Rollback(ctx), pgx.ErrTxClosed) }))
			require.Equal(t, 500, value(t, conn, "50"))
		})
	}
}

// TestBeginRefused: when the server refuses BEGIN, what was sent with it is not run, whatever the mode and whatever the
// method. Once is mended by sending it again; for good is an error, of every method and of Commit.
func TestBeginRefused(t *testing.T) {
	t.Parallel()
	for _, mode := range modes[:4] {
		for _, times := range []int{1, 1000} {
			t.Run(fmt.Sprintf("%s/%d", mode, times), func(t *testing.T) {
				t.Parallel()
				ctx := t.Context()
				db := pgtest.New(t, template)
				other := connect(t, db.DSN, nil)
				conn, w := connectWired(t, db.DSN, func(c *pgx.ConnConfig) { c.DefaultQueryExecMode = mode })
				spoil := func() {
					left := times
					w.set(func(w *wire) {
						w.onSend = func(b []byte) []byte {
							for _, text := range []string{"begin", "pgc_begin"} {
								if left > 0 && bytes.Contains(b, []byte("\x00"+text+"\x00")) || left > 0 && bytes.HasPrefix(b, []byte("Q")) && bytes.Contains(b, []byte(text)) {
									left--
									b = bytes.ReplaceAll(b, []byte(text+"\x00"), []byte(strings.Repeat("x", len(text))+"\x00"))
								}
							}
							return b
						}
					})
				}
				calm := func() { w.set(func(w *wire) { w.onSend = nil }) }

				for name, do := range map[string]func(tx *lazytx.Tx) error{
					"exec": func(tx *lazytx.Tx) error {
						_, err := tx.Exec(ctx, "UPDATE item SET value = 900 WHERE id = $1", "1")
						return err
					},
					"query": func(tx *lazytx.Tx) error {
						rows, err := tx.Query(ctx, "UPDATE item SET value = 900 WHERE id = $1 RETURNING id", "1")
						if err == nil {
							rows.Close()
							err = rows.Err()
						}
						return err
					},
					"row": func(tx *lazytx.Tx) error {
						return tx.QueryRow(ctx, "UPDATE item SET value = 900 WHERE id = $1 RETURNING id", "1").Scan(new(string))
					},
					"no arguments": func(tx *lazytx.Tx) error {
						_, err := tx.Exec(ctx, "UPDATE item SET value = 900 WHERE id = '1'")
						return err
					},
				} {
					tx := begin(t, conn)
					spoil()
					err := do(tx)
					calm()
					require.Equal(t, 1, value(t, other, "1"), name)
					if times == 1 && name != "no arguments" {
						require.NoError(t, err, name)
						require.Equal(t, byte('T'), conn.PgConn().TxStatus(), name)
						require.NoError(t, tx.Rollback(ctx), name)
						continue
					}
					require.ErrorContains(t, err, "begin:", name)
					require.Equal(t, byte('I'), conn.PgConn().TxStatus(), name)
					require.ErrorContains(t, do(tx), "begin:", name)
					require.ErrorContains(t, tx.SendBatch(ctx, &pgx.Batch{}).Close(), "begin:")
					_, err = tx.Begin(ctx)
					require.ErrorContains(t, err, "begin:")
					_, err = tx.Prepare(ctx, "", "SELECT 1")
					require.ErrorContains(t, err, "begin:")
					_, err = tx.CopyFrom(ctx, pgx.Identifier{"child"}, nil, nil)
					require.ErrorContains(t, err, "begin:")
					_, err = tx.CommitWith(ctx, func(*pgconn.Batch) {}, noRows)
					require.ErrorContains(t, err, "begin:")
					require.ErrorContains(t, tx.Commit(ctx), "begin:", name)
					require.ErrorIs(t, tx.Rollback(ctx), pgx.ErrTxClosed)
					require.Equal(t, 1, value(t, other, "1"), name)
				}
			})
		}
	}
}

// TestAnswerLost: the answer to the first pipeline is lost with the connection. The transaction is lost, nothing is
// committed, and nothing says that all is well.
func TestAnswerLost(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	other := connect(t, db.DSN, nil)
	for name, do := range map[string]func(ctx context.Context, tx *lazytx.Tx) error{
		"exec": func(ctx context.Context, tx *lazytx.Tx) error {
			_, err := tx.Exec(ctx, "UPDATE item SET value = 900 WHERE id = $1", "1")
			return err
		},
		"row": func(ctx context.Context, tx *lazytx.Tx) error {
			return tx.QueryRow(ctx, "UPDATE item SET value = 900 WHERE id = $1 RETURNING id", "1").Scan(new(string))
		},
		"connection": func(_ context.Context, tx *lazytx.Tx) error {
			if tx.Conn().IsClosed() {
				return errors.New("closed")
			}
			return nil
		},
		"large objects": func(ctx context.Context, tx *lazytx.Tx) error {
			objects := tx.LargeObjects()
			_, err := objects.Create(ctx, 0)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			conn, w := connectWired(t, db.DSN, nil)
			warm := begin(t, conn)
			require.NoError(t, do(ctx, warm))
			require.NoError(t, warm.Rollback(ctx))

			tx := begin(t, conn)
			w.set(func(w *wire) { w.drop = true })
			require.Error(t, do(ctx, tx))
			require.True(t, conn.IsClosed())
			require.Error(t, do(ctx, tx), "and what comes after fails as well")
			require.Error(t, tx.Commit(ctx))
			require.ErrorIs(t, tx.Commit(ctx), pgx.ErrTxClosed)
			require.Equal(t, 1, value(t, other, "1"))
		})
	}
}

// TestInterrupted: ctx ends while the first statement runs.
func TestInterrupted(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	ctx := t.Context()
	other := connect(t, db.DSN, nil)
	conn := connect(t, db.DSN, nil)
	running, cancel := context.WithCancel(ctx)
	pid := conn.PgConn().PID()
	go func() {
		defer cancel()
		for ctx.Err() == nil {
			var sleeping bool
			err := other.QueryRow(ctx, "SELECT coalesce(wait_event = 'PgSleep', false) FROM pg_stat_activity WHERE pid = $1", pid).Scan(&sleeping)
			if err != nil || sleeping {
				return
			}
		}
	}()

	tx := begin(t, conn)
	_, err := tx.Exec(running, "UPDATE item SET value = 900 FROM pg_sleep($1) WHERE id = '1'", 60)
	require.ErrorIs(t, err, context.Canceled)
	<-running.Done()
	require.True(t, conn.IsClosed())
	require.Error(t, tx.Commit(ctx))
	require.Equal(t, 1, value(t, connect(t, db.DSN, nil), "1"))
}

// TestRowsLeftOpen: a caller that forgets its rows loses the connection, as with pgx, and closing them later touches
// nothing.
func TestRowsLeftOpen(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	for _, commit := range []bool{true, false} {
		conn := connect(t, db.DSN, nil)
		tx := begin(t, conn)
		rows, err := tx.Query(t.Context(), "SELECT repeat('x', 1000) FROM generate_series(1, $1)", 10000)
		require.NoError(t, err)
		require.True(t, rows.Next())
		require.Same(t, conn, rows.Conn())

		if commit {
			require.Error(t, tx.Commit(t.Context()))
			require.NoError(t, conn.Close(t.Context()))
		} else {
			require.Error(t, tx.Rollback(t.Context()))
		}

		require.True(t, conn.IsClosed())
		rows.Close()
		require.False(t, rows.Next())
		require.Error(t, rows.Scan(new(string)))
		_, err = rows.Values()
		require.Error(t, err)
	}
}

// TestRowsAfterTheirEnd: rows that were closed do not touch the connection, which may be in other hands.
func TestRowsAfterTheirEnd(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn, w := connectWired(t, pgtest.New(t, template).DSN, nil)
	tx := begin(t, conn)
	rows, err := tx.Query(ctx, "SELECT id FROM item WHERE value < $1", 5)
	require.NoError(t, err)
	rows.Close()
	require.NoError(t, tx.Commit(ctx))

	next, err := conn.Query(ctx, "SELECT i FROM generate_series(1, $1) AS i", 3)
	require.NoError(t, err)
	require.True(t, next.Next())
	require.Zero(t, w.sent(func() {
		rows.Close()
		require.False(t, rows.Next())
		require.Error(t, rows.Scan(new(string)))
		require.NoError(t, rows.Err())
		require.Same(t, conn, tx.Conn())
		objects := tx.LargeObjects()
		_, err := objects.Create(ctx, 0)
		require.ErrorIs(t, err, pgx.ErrTxClosed)
	}))
	require.True(t, next.Next())
	next.Close()
	require.NoError(t, next.Err())
}

// TestDiscarded: what was prepared on the connection is discarded between transactions, in any way. No transaction fails.
func TestDiscarded(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t, template)
	for _, discard := range []string{"DISCARD ALL", "DEALLOCATE ALL", "DEALLOCATE pgc_begin"} {
		ctx := t.Context()
		conn := connect(t, db.DSN, nil)
		for i := range 6 {
			tx := begin(t, conn)
			_, err := tx.Exec(ctx, "UPDATE item SET value = $2 WHERE id = $1", "20", 100+i)
			require.NoError(t, err, discard)
			require.NoError(t, tx.Commit(ctx))
			require.Equal(t, 100+i, value(t, conn, "20"))
			_, err = conn.Exec(ctx, discard)
			require.NoError(t, err)
			if discard != "DEALLOCATE pgc_begin" {
				require.NoError(t, conn.DeallocateAll(ctx)) // what pgx asks of whoever discards
			} else {
				require.NoError(t, conn.Deallocate(ctx, "pgc_begin"))
			}
		}
	}

	// Without telling pgx: BEGIN is sent again.
	ctx := t.Context()
	conn := connect(t, db.DSN, nil)
	for i := range 4 {
		tx := begin(t, conn)
		_, err := tx.Exec(ctx, "UPDATE item SET value = $2 WHERE id = $1", "21", 100+i)
		if err != nil { // pgx' own statement is gone, which it finds out only now
			var pgErr *pgconn.PgError
			require.ErrorAs(t, err, &pgErr)
			require.Equal(t, "26000", pgErr.Code)
			require.NoError(t, tx.Rollback(ctx))
			continue
		}
		require.NoError(t, tx.Commit(ctx))
		_, err = conn.Exec(ctx, "DEALLOCATE ALL", pgx.QueryExecModeSimpleProtocol)
		require.NoError(t, err)
	}
}

// TestStatementsAreBounded: many different first statements leave few prepared ones on the server.
func TestStatementsAreBounded(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := connect(t, pgtest.New(t, template).DSN, func(c *pgx.ConnConfig) { c.StatementCacheCapacity = 40 })
	for i := range 200 {
		tx := begin(t, conn)
		require.NoError(t, tx.QueryRow(ctx, fmt.Sprintf("SELECT $1::int AS c%d", i), i).Scan(new(int)))
		require.Error(t, tx.QueryRow(ctx, "SELECT 1 / $1::int", 0).Scan(new(int)))
		require.NoError(t, tx.Rollback(ctx))
		failing := begin(t, conn)
		_, err := failing.Exec(ctx, fmt.Sprintf("SELECT 1 / $1::int AS d%d", i), 0)
		require.Error(t, err)
		require.NoError(t, failing.Rollback(ctx))
	}

	var prepared int
	require.NoError(t, conn.QueryRow(ctx, "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'pgc_first_%'").Scan(&prepared))
	require.LessOrEqual(t, prepared, 10+16, "those in the cache, and those that wait to be deallocated")
}

// TestSchemaChange: a statement whose result has changed fails once, as with pgx, and works again.
func TestSchemaChange(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := connect(t, pgtest.New(t, template).DSN, nil)
	query := func() (n int, err error) {
		tx := begin(t, conn)
		defer func() { _ = tx.Rollback(ctx) }()

		rows, err := tx.Query(ctx, "SELECT * FROM item WHERE id = $1", "1")
		if err != nil {
			return 0, err
		}

		rows.Close()
		return len(rows.FieldDescriptions()), rows.Err()
	}
	_, err := query()
	require.NoError(t, err)
	_, err = conn.Exec(ctx, "ALTER TABLE item ADD COLUMN more text")
	require.NoError(t, err)
	_, err = query()
	require.ErrorContains(t, err, "cached plan must not change result type")
	n, err := query()
	require.NoError(t, err)
	require.Equal(t, 3, n)
}

// TestOptions: options that this package does not know go to the server at once, so that their error comes from Begin.
func TestOptions(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	conn := connect(t, pgtest.New(t, template).DSN, nil)
	_, err := lazytx.Begin(ctx, conn, pgx.TxOptions{IsoLevel: "no such level"})
	require.ErrorContains(t, err, "syntax error")
	require.Equal(t, byte('I'), conn.PgConn().TxStatus())
	for _, options := range []pgx.TxOptions{{AccessMode: "read some"}, {DeferrableMode: "maybe"}, {BeginQuery: "begin nonsense"}} {
		_, err := lazytx.Begin(ctx, conn, options)
		require.Error(t, err)
	}
	tx, err := lazytx.Begin(ctx, conn, pgx.TxOptions{BeginQuery: "begin; SET LOCAL work_mem = '7MB'", CommitQuery: "commit; SELECT 1"})
	require.NoError(t, err)
	require.True(t, tx.Begun())
	require.NoError(t, tx.Commit(ctx))

	for _, level := range []pgx.TxIsoLevel{pgx.Serializable, pgx.RepeatableRead, pgx.ReadCommitted} {
		tx, err := lazytx.Begin(ctx, conn, pgx.TxOptions{IsoLevel: level, AccessMode: pgx.ReadOnly, DeferrableMode: pgx.Deferrable})
		require.NoError(t, err)
		require.False(t, tx.Begun())
		var got string
		require.NoError(t, tx.QueryRow(ctx, "SELECT concat_ws(' ', current_setting('transaction_isolation'), current_setting('transaction_read_only'), $1::text)",
			"x").Scan(&got))
		require.Equal(t, string(level)+" on x", got)
		require.NoError(t, tx.Commit(ctx))
	}
}

// traced remembers what a tracer is told, and gives the context something that the end must bring back.
type traced struct{ events []string }

type tracedKey struct{}

func (r *traced) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	r.events = append(r.events, "start "+d.SQL)
	return context.WithValue(ctx, tracedKey{}, d.SQL)
}

func (r *traced) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	outcome := d.CommandTag.String()
	if d.Err != nil {
		outcome = "error"
	}
	r.events = append(r.events, fmt.Sprintf("end %v: %s", ctx.Value(tracedKey{}), outcome))
}

// TestTracer: the tracer of the connection sees each query once, as it would with pgx.
func TestTracer(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	r := &traced{}
	conn := connect(t, pgtest.New(t, template).DSN, func(c *pgx.ConnConfig) { c.Tracer = r })
	see := func(do func(tx *lazytx.Tx), want ...string) {
		t.Helper()
		r.events = nil
		tx := begin(t, conn)
		do(tx)
		require.Equal(t, want, r.events)
		_ = tx.Rollback(ctx)
	}

	const update = "UPDATE item SET value = value WHERE id = @id"
	see(func(tx *lazytx.Tx) {
		_, _ = tx.Exec(ctx, update, pgx.NamedArgs{"id": "1"})
		_ = tx.Commit(ctx)
	}, "start begin", "start "+update, "end begin: BEGIN", "end "+update+": UPDATE 1", "start commit", "end commit: COMMIT")
	see(func(tx *lazytx.Tx) {
		rows, _ := tx.Query(ctx, "SELECT id FROM item WHERE id = $1", "1")
		_, _ = pgx.CollectRows(rows, pgx.RowTo[string])
	}, "start begin", "start SELECT id FROM item WHERE id = $1", "end begin: BEGIN", "end SELECT id FROM item WHERE id = $1: SELECT 1")
	see(func(tx *lazytx.Tx) { _ = tx.QueryRow(ctx, "SELECT 1 / $1::int", 0).Scan(new(int)) },
		"start begin", "start SELECT 1 / $1::int", "end begin: BEGIN", "end SELECT 1 / $1::int: error")
	see(func(tx *lazytx.Tx) {
		_, _ = tx.CommitWith(ctx, func(b *pgconn.Batch) { b.ExecParams("SELECT 1", nil, nil, nil, nil) }, noRows)
		tx.Finish()
	}, "start begin", "start commit", "end begin: BEGIN", "end commit: COMMIT")
	see(func(tx *lazytx.Tx) {
		_, _ = tx.CommitWith(ctx, func(b *pgconn.Batch) { b.ExecParams("SELECT 1/0", nil, nil, nil, nil) }, noRows)
		_ = tx.Abort(ctx)
	}, "start begin", "start commit", "end begin: BEGIN", "end commit: error", "start rollback", "end rollback: ROLLBACK")
	see(func(*lazytx.Tx) {})
}

// TestTimeOfTransaction: now() is the time of the first statement, and an idle transaction is none for the server.
func TestTimeOfTransaction(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db := pgtest.New(t, template)
	conn, other := connect(t, db.DSN, nil), connect(t, db.DSN, nil)
	tx := begin(t, conn)
	var later, now time.Time
	var state string
	require.NoError(t, other.QueryRow(ctx, "SELECT clock_timestamp(), state FROM pg_stat_activity WHERE pid = $1", conn.PgConn().PID()).Scan(&later, &state))
	require.Equal(t, "idle", state)
	require.NoError(t, tx.QueryRow(ctx, "SELECT now() WHERE $1", true).Scan(&now))
	require.True(t, now.After(later))
	require.NoError(t, tx.Commit(ctx))
}
