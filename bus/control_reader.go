package bus

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"
)

// reader reads the difference: soon after something may have been missed, and steadily while polling.
type reader struct {
	*env
	applier  *applier
	liveness *liveness

	next     time.Time // earliest next read
	timeouts int       // reads in a row that took too long
}

func (r *reader) due(now time.Time, _ status) time.Time {
	if r.requests.read.Load() || r.liveness.polling() {
		return r.next
	}
	return never(now)
}

func (r *reader) run(ctx context.Context, conn *pgx.Conn, _ status) error {
	if r.requests.read.Swap(false) {
		r.stats.gaps.Add(1)
	} else {
		r.stats.polls.Add(1)
	}
	// Junk on the channel asks for a read as well: not more often than a sweep.
	r.next = time.Now().Add(min(r.cfg.SweepInterval, r.cfg.PollInterval))

	d, err := logReader{r.env}.read(ctx, conn, r.applier.base(), r.timeouts >= 2)
	if err != nil {
		r.requests.read.Store(true)
		r.liveness.readFailures++
		if errors.Is(err, context.DeadlineExceeded) {
			r.timeouts++ // too much for this line: give up on the details and reset
		}
		return err
	}
	r.timeouts, r.liveness.readFailures = 0, 0
	catchUp{r.applier}.apply(d)
	return nil
}
