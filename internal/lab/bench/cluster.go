package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/bus"
)

// cluster is the pods of the command delay: one that publishes, and those that
// listen. They are buses in this process, each with a pool of its own, so that
// one clock tells all times.
type cluster struct {
	publisher *pod
	listeners []*pod
	pools     []*pgxpool.Pool // the publisher's last

	announced *arrivals // of events that a pod published
	swept     *arrivals // of those that nobody announced
}

// publishing is how many events can be under way at once.
const publishing = 8

// Keys are the event's number behind a letter for who publishes it.
const (
	keyAnnounced = "a"
	keySwept     = "s"
)

func startCluster(ctx context.Context, s *server, pods, announced, swept int) (_ *cluster, err error) {
	c := &cluster{announced: newArrivals(announced, pods), swept: newArrivals(swept, pods)}
	noted := map[string]*arrivals{keyAnnounced: c.announced, keySwept: c.swept}

	defer func() {
		if err != nil {
			err = errors.Join(err, c.stop())
		}
	}()

	for i := range pods {
		p, err := c.start(ctx, s, 1, "listener "+strconv.Itoa(i), func(d bus.Delivery) {
			for _, key := range d.Keys {
				event, err := strconv.Atoi(key[1:])
				if a := noted[key[:1]]; a != nil && err == nil {
					a.arrive(i, event)
				}
			}
		})
		if err != nil {
			return nil, err
		}

		c.listeners = append(c.listeners, p)
	}

	c.publisher, err = c.start(ctx, s, publishing, "publisher", nil)
	return c, err
}

func (c *cluster) start(ctx context.Context, s *server, connections int, name string, f func(bus.Delivery)) (*pod, error) {
	pool, err := s.pool(ctx, connections, nil)
	if err != nil {
		return nil, err
	}
	c.pools = append(c.pools, pool)
	return startPod(ctx, pool, bus.Config{Name: name}, f)
}

// announce publishes an event in a transaction of the library that also updates a row.
func (c *cluster) announce(ctx context.Context, event int) error {
	return c.announced.publish(event, func() error {
		_, err := c.publisher.InTx(ctx, func(tx *bus.Tx) error {
			tx.Invalidate(topic, keyAnnounced+strconv.Itoa(event))
			_, err := tx.Exec(ctx, update, event%items)
			return err
		})
		return err
	})
}

// insert publishes an event as a writer does who knows nothing of the library.
func (c *cluster) insert(ctx context.Context, event int) error {
	pool := c.pools[len(c.pools)-1]
	return c.swept.publish(event, func() error {
		_, err := pool.Exec(ctx, `SELECT pgcoherence.invalidate($1, $2)`, topic, keySwept+strconv.Itoa(event))
		return err
	})
}

// all are the pods that run.
func (c *cluster) all() []*pod {
	if c.publisher == nil {
		return c.listeners
	}
	return append(slices.Clip(c.listeners), c.publisher)
}

// String is what the publishing pod did and who found the events of the unaware.
func (c *cluster) String() string {
	var swept []string
	for _, p := range c.all() {
		swept = append(swept, strconv.FormatInt(p.Stats().Swept, 10))
	}
	s := c.publisher.Stats()
	return fmt.Sprintf("%d published, %d announced in %d notifies; swept by the pods: %s",
		s.Published, s.Announced, s.Notifies, strings.Join(swept, ", "))
}

// stopPods stops the pods alone.
func (c *cluster) stopPods() error {
	pods := c.all()
	c.listeners, c.publisher = nil, nil
	return stopAll(pods)
}

func (c *cluster) stop() error {
	errs := []error{c.stopPods()}
	for _, pool := range c.pools {
		pool.Close()
	}
	return errors.Join(errs...)
}
