package bus

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
)

// reaper deletes the rows of pods that died: those whose beat has not changed for a pod lease on this process' clock.
type reaper struct {
	*env
	liveness *liveness

	setPods func(int64)

	next   time.Time
	seen   map[string]seenBeat
	looked time.Time
}

type seenBeat struct {
	beat  int64
	since time.Time
}

// due is twice per lease, and at least every other beat: the pod that sweeps counts the pods for all.
func (r *reaper) due(now time.Time, st status) time.Time {
	if !r.liveness.cleansUp(st) {
		return never(now)
	}
	return r.next
}

// count returns how many pods were there at the last look; 0 if this pod has not looked lately.
func (r *reaper) count() int64 {
	if time.Since(r.looked) > 2*r.lease.get() {
		return 0
	}
	return int64(len(r.seen))
}

func (r *reaper) run(ctx context.Context, conn *pgx.Conn, _ status) error {
	now, lease := time.Now(), r.lease.get()
	r.next = now.Add(min(lease/2, 2*r.cfg.BeatInterval))

	ids, beats, err := r.findDead(ctx, conn, now, lease)
	if err != nil || len(ids) == 0 {
		return err
	}

	r.stats.statements.Add(1)
	tag, err := conn.Exec(ctx, r.sql.reap, ids, beats)
	if err != nil {
		return err
	}
	if tag.RowsAffected() == 0 {
		return nil // another pod was faster, or they came back
	}
	r.stats.reaped.Add(tag.RowsAffected())
	r.log.WarnContext(ctx, "rows of dead pods deleted", slog.Int64("pods", tag.RowsAffected()))
	return nil
}

// findDead reads all beats and returns those that have not changed for a lease.
func (r *reaper) findDead(ctx context.Context, conn *pgx.Conn, now time.Time, lease time.Duration) (ids []string, beats []int64, err error) {
	r.stats.statements.Add(1)
	rows, err := conn.Query(ctx, r.sql.beats)
	if err != nil {
		return nil, nil, fmt.Errorf("read beats: %w", err)
	}

	seen := make(map[string]seenBeat)
	var id string
	var beat int64
	var trusts *int64
	_, err = pgx.ForEachRow(rows, []any{&id, &beat, &trusts}, func() error {
		s, ok := r.seen[id]
		if !ok || s.beat != beat {
			s = seenBeat{beat, now}
		}
		seen[id] = s
		limit := lease
		if trusts != nil {
			limit = max(limit, milliseconds(*trusts)*10/9)
		}
		if now.Sub(s.since) > limit && id != r.ID() {
			ids, beats = append(ids, id), append(beats, beat)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("read beats: %w", err)
	}
	r.seen, r.looked = seen, now
	r.setPods(int64(len(seen)))
	return ids, beats, nil
}
