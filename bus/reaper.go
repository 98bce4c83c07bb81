package bus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// reaper deletes the rows of pods that died: those whose beat stood still for a pod lease on this process' clock.
type reaper struct {
	p     *Postgres
	lease time.Duration
	next  time.Time
	seen  map[string]seenBeat
}

type seenBeat struct {
	beat  int64
	since time.Time
}

// readLease reads the pod lease, which is one for the cluster, and checks that this pod keeps to it.
func (r *reaper) readLease(ctx context.Context, conn *pgx.Conn) error {
	lease, err := r.p.readLease(ctx, conn)
	r.lease = lease
	return err
}

func (p *Postgres) readLease(ctx context.Context, conn *pgx.Conn) (time.Duration, error) {
	var seconds float64
	p.stats.statements.Add(1)
	if err := conn.QueryRow(ctx, p.sql.lease).Scan(&seconds); err != nil {
		return 0, fmt.Errorf("bus: read pod lease: %w", err)
	}
	lease := time.Duration(seconds * float64(time.Second))
	return lease, p.leaseRead(lease)
}

// step looks at all beats twice per lease.
func (r *reaper) step(ctx context.Context, conn *pgx.Conn, now time.Time) (done bool, err error) {
	if now.Before(r.next) {
		return false, nil
	}
	r.next = now.Add(r.lease / 2)
	r.p.stats.statements.Add(1)
	rows, err := conn.Query(ctx, r.p.sql.beats)
	if err != nil {
		return false, fmt.Errorf("bus: read beats: %w", err)
	}
	seen := make(map[string]seenBeat)
	var ids []string
	var beats []int64
	var id string
	var beat int64
	_, err = pgx.ForEachRow(rows, []any{&id, &beat}, func() error {
		s, ok := r.seen[id]
		if !ok || s.beat != beat {
			s = seenBeat{beat, now}
		}
		seen[id] = s
		if now.Sub(s.since) > r.lease && id != r.p.ID() {
			ids, beats = append(ids, id), append(beats, beat)
		}
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("bus: read beats: %w", err)
	}
	r.seen = seen
	if len(ids) == 0 {
		return true, nil
	}
	r.p.stats.statements.Add(1)
	tag, err := conn.Exec(ctx, r.p.sql.reap, ids, beats)
	if err != nil {
		return false, fmt.Errorf("bus: reap: %w", err)
	}
	if tag.RowsAffected() == 0 {
		return true, nil // another pod was faster, or they came back
	}
	r.p.stats.reaped.Add(tag.RowsAffected())
	r.p.log.WarnContext(ctx, "rows of dead pods deleted", slog.Int64("pods", tag.RowsAffected()))
	return true, nil
}
