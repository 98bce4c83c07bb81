package bus

import (
	"context"
	"math"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/internal/position"
)

// sweepReading reads what a sweep has to announce. While the pods announce their events themselves, nearly all that a sweep
// finds has been announced: then it reads the names first, and afterwards only the events that are left over. Where most
// events are left to the sweep, it reads them at once.
type sweepReading struct {
	*env
	applier *applier

	namesFirst bool
	found      int // events in the last difference
}

// read reads the difference to a base; events that have been announced may be left out.
func (r *sweepReading) read(ctx context.Context, conn *pgx.Conn, base position.Difference) (*difference, error) {
	r.stats.sweeps.Add(1)
	if base.BaseOf == "" {
		return logReader{r.env}.query(ctx, conn, r.sql.difference, base, true) // the head, which says what has become of the log
	}
	if r.namesFirst {
		return r.readLeft(ctx, conn, base)
	}

	d, err := logReader{r.env}.query(ctx, conn, r.sql.difference, base, false)
	if err != nil {
		return nil, err
	}
	r.found = len(d.events)
	if d.overflow {
		return r.readTopics(ctx, conn, base)
	}
	return d, nil
}

// readLeft reads the names, and then the events that no pod has announced.
func (r *sweepReading) readLeft(ctx context.Context, conn *pgx.Conn, base position.Difference) (*difference, error) {
	log := logReader{r.env}
	n, err := log.names(ctx, conn, base)
	if err != nil {
		return nil, err
	}
	r.found = len(n.ids) + len(n.unnamed)
	if n.overflow {
		return r.readTopics(ctx, conn, base)
	}
	left := r.applier.unannouncedOf(n)
	if len(left) == 0 {
		return &difference{head: n.head}, nil
	}

	// A base that sees everything but these transactions. Their events are visible to the first statement, and so they are to
	// the second one.
	rest := base
	rest.Base = position.Snapshot{Xmin: left[0], Xmax: math.MaxUint64, Xip: left}
	d, err := log.query(ctx, conn, r.sql.difference, rest, false)
	switch {
	case err != nil:
		return nil, err
	case d.overflow:
		return r.readTopics(ctx, conn, base)
	case d.head.Epoch != n.head.Epoch:
		return nil, errNoEpoch // the log began again in between
	}

	// A mark says that everything was read up to its snapshot, and that is the first one's. What was pruned is the second's.
	n.head.PrunedTo = d.head.PrunedTo
	d.head = n.head
	return d, nil
}

// readTopics reads what is too much to announce event by event.
func (r *sweepReading) readTopics(ctx context.Context, conn *pgx.Conn, base position.Difference) (*difference, error) {
	return logReader{r.env}.query(ctx, conn, r.sql.differenceTopics, base, false)
}

// learn notes how many of the events had not been announced.
func (r *sweepReading) learn(unannounced int) {
	if r.found > 0 {
		r.namesFirst = 2*unannounced < r.found
	}
}
