package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
)

// outage is a part of catchup: a pod whose bus is cut off while others change some of what it has cached.
type outage struct {
	plan   catchupPlan
	server *server
	line   *line
	away   *pod // the pod that is cut off
	writer *pod

	versions []atomic.Int64 // what the loaders read
	caches   []*awayCache
}

// awayCache is a cache of the pod that is cut off.
type awayCache struct {
	*subject
	loads atomic.Int64
	after []float64 // loads until all keys were read after the outages
}

// line is a way to the server that can be cut.
type line struct {
	mu    sync.Mutex
	down  bool
	conns map[net.Conn]struct{}
}

var errCut = errors.New("the line is cut")

func (l *line) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		conn.Close()
		return nil, errCut
	}
	l.conns[conn] = struct{}{}
	return conn, nil
}

func (l *line) set(down bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = down
	if down {
		for conn := range l.conns {
			conn.Close()
			delete(l.conns, conn)
		}
	}
}

// measureOutage adds to the report what it takes until all cached keys are served again after an outage.
func measureOutage(ctx context.Context, s *server, plan catchupPlan, r *report) (err error) {
	o := &outage{plan: plan, server: s, line: &line{conns: map[net.Conn]struct{}{}}, versions: make([]atomic.Int64, plan.Cached)}
	pool, err := s.pool(ctx, 4, nil)
	if err != nil {
		return err
	}
	defer pool.Close()

	config, err := pgx.ParseConfig(s.postgres.DSN(s.database))
	if err != nil {
		return err
	}

	config.DialFunc = o.line.dial
	o.away, err = startPod(ctx, pool, bus.Config{Name: "away", Logger: warnings(), Connect: func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.ConnectConfig(ctx, config)
	}}, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.away.stop()) }()

	if o.writer, err = startPod(ctx, pool, bus.Config{Name: "writer", Logger: warnings()}, nil); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, o.writer.stop()) }()

	for _, make := range []maker{oursOn(o.away), makeOtter} {
		c := &awayCache{}
		c.subject, err = make(2*plan.Cached, func(_ context.Context, key string) (*thing, error) {
			c.loads.Add(1)
			i, err := strconv.Atoi(key)
			if err != nil {
				return nil, err
			}
			return &thing{o.versions[i].Load()}, nil
		})
		if err != nil {
			return err
		}
		defer c.end() //nolint:gocritic // there are two, and both live until the end

		o.caches = append(o.caches, c)
	}

	for range plan.Outages {
		if err := o.round(ctx); err != nil {
			return err
		}
	}

	r.Counts[fmt.Sprintf("outages of %v in which %d of %d cached keys changed", plan.Outage, plan.Changed, plan.Cached)] = plan.Outages
	for i, name := range []string{"loads", "loads_otter"} {
		f := newFigure("catchup."+name, "loads", o.caches[i].after)
		r.add(f)
		r.Counts[name] = f.String()
		r.result(f.Name, f.Value)
	}

	if stats := o.away.Stats(); stats.Resets > 1 {
		r.Counts["resets"] = stats.Resets
	}

	return nil
}

func (o *outage) round(ctx context.Context) error {
	for _, c := range o.caches {
		if err := o.readAll(ctx, c); err != nil {
			return err
		}
	}

	o.line.set(true)
	end := time.Now().Add(o.plan.Outage)
	var last bus.Receipt
	for i := range o.plan.Changed {
		key := i * o.plan.Cached / o.plan.Changed
		o.versions[key].Add(1)
		var err error
		if last, err = o.writer.Publish(ctx, bus.Event{Topic: topic, Keys: []string{strconv.Itoa(key)}}); err != nil {
			return err
		}
	}

	sleep(ctx, time.Until(end))

	if o.away.Applied(last) {
		return errors.New("the pod heard of the changes in spite of the outage")
	}

	o.line.set(false)

	if err := eventually(ctx, func() bool { return o.away.Fresh() && o.away.Applied(last) }); err != nil {
		return fmt.Errorf("the pod does not come back: %w", err)
	}

	o.caches[1].invalidateAll() // who has no log has to distrust all

	for _, c := range o.caches {
		before := c.loads.Load()
		if err := o.readAll(ctx, c); err != nil {
			return err
		}
		c.after = append(c.after, float64(c.loads.Load()-before))
	}

	return nil
}

// readAll reads every key, and checks that what is served is new.
func (o *outage) readAll(ctx context.Context, c *awayCache) error {
	for i := range o.versions {
		v, err := c.get(ctx, strconv.Itoa(i))
		if err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
		if want := o.versions[i].Load(); v.version != want {
			return fmt.Errorf("%s: key %d: version %d is served, and it is %d", c.name, i, v.version, want)
		}
	}
	return nil
}
