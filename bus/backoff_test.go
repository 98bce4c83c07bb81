package bus_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/pgcoherence/pgcoherence/bus"
)

// A connection that can be made and is then of no use must not be made again and again: only a proven beat ends the
// backoff, neither a registration nor catching up.
func TestBackoffLastsUntilABeatIsProven(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	db, pool := setup(t)
	_, err := pool.Exec(ctx, `CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
			IF NEW.name = 'unlucky' THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF; RETURN NEW; END $$;
		CREATE TRIGGER hang_up BEFORE UPDATE ON pgcoherence.pod FOR EACH ROW EXECUTE FUNCTION hang_up()`)
	require.NoError(t, err)
	var dials atomic.Int64
	cfg := quick("unlucky")
	cfg.Connect = func(ctx context.Context) (*pgx.Conn, error) {
		dials.Add(1)
		return pgx.Connect(ctx, db.DSN)
	}
	p := prepare(t, pool, cfg)
	p.run(t)
	eventually(t, func() bool { return dials.Load() >= 6 }, "it tries")

	// From here on the pauses are drawn from up to more than a second. Without backoff it is a hundred in this time.
	before := dials.Load()
	time.Sleep(4 * time.Second)
	require.Less(t, dials.Load()-before, int64(30))

	_, err = pool.Exec(ctx, "DROP TRIGGER hang_up ON pgcoherence.pod")
	require.NoError(t, err)
	p.waitReady(t)
	eventually(t, func() bool { return p.State() == bus.Live }, "live")
}

// A bus that resets again and again is not Live, whatever it has proven in between.
func TestResettingInALoopIsNotLive(t *testing.T) {
	t.Parallel()
	ctx := t.Context()
	_, pool := setup(t)
	p := start(t, pool, quick("a"))
	eventually(t, func() bool { return p.State() == bus.Live }, "live")
	eventually(t, func() bool {
		_, err := pool.Exec(ctx, "UPDATE pgcoherence.epoch SET id = gen_random_uuid()")
		return err == nil && p.State() == bus.CatchingUp && p.Stats().Resets > 4
	}, "not live while the epoch changes")
	eventually(t, func() bool { return p.State() == bus.Live }, "live again when that is over")
}
