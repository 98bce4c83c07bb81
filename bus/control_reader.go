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

	last     time.Time // last read
	timeouts int       // reads in a row that took too long
}

// due is at once, but not right after the last read: junk on the channel asks for one as well, and gets it as often as a sweep.
// A mark that asks for a beat is authentic, and a Confirm waits for the position that the beat will show.
func (r *reader) due(now time.Time, _ status) time.Time {
	missed := r.requests.read.Load()
	switch {
	case missed && r.requests.beat.Load():
		return r.last.Add(r.minBeatGap())
	case missed || r.liveness.polling():
		return r.last.Add(min(r.cfg.SweepInterval, r.cfg.PollInterval))
	}
	return never(now)
}

func (r *reader) run(ctx context.Context, conn *pgx.Conn, _ status) error {
	if r.requests.read.Swap(false) {
		r.stats.gaps.Add(1)
	} else {
		r.stats.polls.Add(1)
	}
	r.last = time.Now()

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
