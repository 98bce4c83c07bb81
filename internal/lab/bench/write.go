package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// writePlan is how much the command write measures.
type writePlan struct {
	Rounds  int
	Pace    pace
	Warmup  time.Duration // once for each variant
	Writers []int         // the goals are for goalWriters
	Disks   []disk
}

// goalWriters is the number of writers that the goals are for. Results for others
// have their number behind.
const goalWriters = 32

var (
	longWrite = writePlan{
		Rounds: 7, Pace: pace{150 * time.Millisecond, 450 * time.Millisecond}, Warmup: time.Second, Writers: []int{1, 8, 32, 64}, Disks: disks,
	}
	shortWrite = writePlan{
		Rounds: 3, Pace: pace{60 * time.Millisecond, 200 * time.Millisecond}, Warmup: 150 * time.Millisecond, Writers: []int{1, 8, 32},
		Disks: []disk{disks[0], disks[2]},
	}
)

// disk is a kind of disk, by the settings of the sessions that write.
type disk struct {
	name   string
	params map[string]string
	flush  time.Duration // the least that a commit takes
}

// slowDisk has flushes that take so much longer, as on a managed disk.
// commit_delay applies in the session that flushes for all, so every session has
// it, and only if fsync is on; commit_siblings=0 makes it apply to a single
// writer as well.
func slowDisk(name string, flush time.Duration) disk {
	return disk{name: name, flush: flush, params: map[string]string{
		"commit_delay": fmt.Sprint(flush.Microseconds()), "commit_siblings": "0",
	}}
}

var disks = []disk{
	{name: "ssd"},
	slowDisk("1ms", time.Millisecond), slowDisk("2ms", 2*time.Millisecond), slowDisk("5ms", 5*time.Millisecond),
}

func writeCommand(o *options) *cobra.Command {
	return &cobra.Command{
		Use:   "write",
		Short: "transactions per second and processor time: bare, the bus, NOTIFY, an outbox, watermill-sql, Redis after the commit",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			plan := longWrite
			if o.short {
				plan = shortWrite
			}

			r, err := measureWrite(cmd.Context(), plan)
			if err != nil {
				return fmt.Errorf("write: %w", err)
			}

			return o.keep(r)
		},
	}
}

func measureWrite(ctx context.Context, plan writePlan) (_ *report, err error) {
	s, err := startServer(ctx, usualConnections)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.close()) }()
	r := &report{Command: "write", Counts: map[string]any{}, Parameters: map[string]any{
		"rounds": plan.Rounds, "lead_ms": plan.Pace.lead.Milliseconds(), "slot_ms": plan.Pace.length.Milliseconds(), "rows": items,
	}}
	if r.Environment, err = s.environment(ctx); err != nil {
		return nil, err
	}
	redis, err := redistest.Start(ctx, nil)
	switch {
	case errors.Is(err, redistest.ErrUnavailable):
		r.Counts["redis left out"] = err.Error()
	case err != nil:
		return nil, err
	default:
		defer func() { err = errors.Join(err, redis.Close()) }()
	}

	rates := rateTable{}
	var variants []string
	for _, d := range plan.Disks {
		did, names, err := measureDisk(ctx, s, redis, d, plan, rates)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.name, err)
		}
		r.Counts["bus on "+d.name] = did.String()
		variants = names
	}
	return r, rates.report(r, plan, variants)
}

// startVariants are all ways to write, the base first and ours last.
func startVariants(ctx context.Context, s *server, redis *redistest.Server, pool *pgxpool.Pool, most int) (variants []variant, end func(), err error) {
	watched := &byTrigger{pool: pool}
	if err := watched.prepare(ctx); err != nil {
		return nil, nil, err
	}

	variants = []variant{
		&bare{pool}, &notify{pool: pool, connect: s.connect}, &floor{pool}, newFloorLazy(pool),
		&outbox{pool: pool}, &watermillPublisher{pool}, watched,
	}
	end = func() {}
	if redis != nil {
		published := newRedisPublish(pool, redis, most)
		variants = append(variants, published)
		end = func() { _ = published.client.Close() }
	}

	return append(variants, &ours{pool: pool}), end, nil
}

// measureDisk runs all rounds on one disk.
func measureDisk(ctx context.Context, s *server, redis *redistest.Server, d disk, plan writePlan, rates rateTable) (_ oursTotal, names []string, err error) {
	most := plan.Writers[len(plan.Writers)-1]
	pool, err := s.pool(ctx, most+1, d.params) // one for a reader that polls
	if err != nil {
		return oursTotal{}, nil, err
	}
	defer pool.Close()

	variants, end, err := startVariants(ctx, s, redis, pool, most)
	if err != nil {
		return oursTotal{}, nil, err
	}
	defer end()

	own := variants[len(variants)-1].(*ours) //nolint:errcheck // startVariants puts it there

	for _, v := range variants { // also prepares the statements on every connection
		if _, err := slot(ctx, v, most, pace{0, plan.Warmup}); err != nil {
			return oursTotal{}, nil, err
		}
	}

	if err := checkFlush(ctx, variants[0], d); err != nil {
		return oursTotal{}, nil, err
	}

	own.total = oursTotal{}

	// Where the server's processes are not seen from here there are only rates.
	cpu := (*processor)(nil)
	if p, err := s.processor(ctx); err == nil {
		cpu = &p
	}

	for round := range plan.Rounds {
		// The dead rows of the round before are removed now and not by an
		// autovacuum in the middle of one.
		if _, err := pool.Exec(ctx, `VACUUM item, watched`); err != nil {
			return oursTotal{}, nil, err
		}
		for _, writers := range plan.Writers {
			for i := range variants {
				v := variants[(i+round)%len(variants)]
				rate, each, err := slotCost(ctx, v, writers, plan.Pace, cpu)
				if err != nil {
					return oursTotal{}, nil, err
				}

				rates.add(d.name, writers, v.name(), rate)

				if cpu != nil {
					rates.addCost(d.name, writers, v.name(), each)
				}
			}
		}
	}

	for _, v := range variants {
		names = append(names, v.name())
	}

	return own.total, names, nil
}

// checkFlush makes sure that commits take as long as the disk is said to.
func checkFlush(ctx context.Context, v variant, d disk) error {
	var took []float64
	for id := range int64(20) {
		begin := time.Now()
		if err := v.transact(ctx, id); err != nil {
			return err
		}
		took = append(took, time.Since(begin).Seconds())
	}
	if typical := median(took); typical < d.flush.Seconds() {
		return fmt.Errorf("a commit takes %.2f ms, less than a flush of %v: commit_delay does not apply", 1e3*typical, d.flush)
	}
	return nil
}
