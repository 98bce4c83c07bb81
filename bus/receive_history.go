package bus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/internal/hook"
	"github.com/pgcoherence/pgcoherence/internal/position"
)

// historyTimeout bounds the reading of one topic's history.
const historyTimeout = 10 * time.Second

// historyPause is how long after a failure it is tried again.
const historyPause = time.Second

// historyReader delivers to historians what the log still holds, after they have subscribed and after resets. It reads
// through the pool: nothing waits for it, and without it a cache only knows less.
type historyReader struct {
	*env
	pool    *pgxpool.Pool
	applier *applier
}

// run works until ctx ends.
func (r *historyReader) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.applier.registry.historyWanted:
		}
		for _, s := range r.applier.registry.needHistory() {
			if err := r.deliver(ctx, s); err != nil && ctx.Err() == nil {
				r.log.WarnContext(ctx, "history of a topic not read, trying again", slog.String("topic", s.topic), slog.Any("error", err))
				time.AfterFunc(historyPause, s.wantHistory)
			}
		}
	}
}

// deliver reads and delivers one topic's history. What was read before a reset does not count after it: the position may have
// begun again in between, and what it left out may have been left out here too.
func (r *historyReader) deliver(ctx context.Context, s *subscription) error {
	ctx, cancel := context.WithTimeout(ctx, historyTimeout)
	defer cancel()
	historian, ok := s.subscriber.(hook.Historian)
	resets := r.stats.resets.Load()
	if !ok || r.applier.epochNow() == "" {
		return nil // the reset that precedes a first position asks again
	}
	limit := historian.HistoryLimit(hook.Token{})
	if limit < 1 {
		return nil
	}
	h, err := r.read(ctx, s.topic, limit)
	if err != nil {
		return err
	}

	a := r.applier
	a.mu.Lock()
	defer a.mu.Unlock()
	if r.stats.resets.Load() == resets && a.track.Epoch() == h.epoch {
		historian.History(hook.Token{}, h.events, h.from, h.floor)
	}
	return nil
}

// history is what the log holds of a topic.
type history struct {
	epoch  string
	events []hook.Past
	from   position.Snapshot
	floor  uint64
}

func (r *historyReader) read(ctx context.Context, topic string, limit int) (*history, error) {
	rows, err := r.pool.Query(ctx, r.sql.history, topic, limit)
	if err != nil {
		return nil, fmt.Errorf("bus: read history: %w", explain(err))
	}

	h := &history{}
	var identity, pruned *string
	var xid *uint64
	var keys *[]string
	var whole *bool
	_, err = pgx.ForEachRow(rows, []any{&identity, &pruned, &xid, &keys, &whole}, func() (err error) {
		switch {
		case xid != nil && whole != nil:
			past := hook.Past{XID: *xid, All: *whole || keys == nil}
			if keys != nil {
				past.Keys = *keys
			}
			h.events = append(h.events, past)
			keys = nil // the next row gets a slice of its own
			return nil
		case identity == nil:
			return errNoEpoch
		}

		h.epoch = epochID(*identity)
		if pruned != nil {
			h.from, err = position.ParseSnapshot(*pruned)
		}

		return err
	})
	switch {
	case errors.Is(err, errNoEpoch):
		return h, nil // it has just gone, and a reset follows
	case err != nil:
		return nil, fmt.Errorf("bus: read history: %w", explain(err))
	}

	if n := len(h.events); n == limit && n > 0 {
		h.floor = h.events[n-1].XID // others of this transaction may be missing, and all before it
	}

	return h, nil
}
