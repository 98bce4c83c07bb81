package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
	"github.com/pgcoherence/pgcoherence/lock"
)

// names are the workers'.
var names = []string{"A", "B", "C"}

// errGaveUp ends a run in which something does not come about.
var errGaveUp = errors.New("gave up")

const patience = 30 * time.Second

// crew is the workers of one run.
type crew struct {
	db        *database
	unguarded bool
	members   []*demo.Process
}

func startCrew(ctx context.Context, db *database, unguarded bool, log io.Writer) (*crew, error) {
	c := &crew{db: db, unguarded: unguarded}

	if err := db.anew(ctx); err != nil {
		return nil, err
	}

	log = demo.Locked(log)
	for _, name := range names {
		p, err := demo.Start(demo.Child{
			Name: name, Variable: workerVariable, Log: log,
			Config: workerConfig{Name: name, DSN: db.DSN, Unguarded: unguarded},
		})
		if err != nil {
			c.stop()
			return nil, fmt.Errorf("start worker %s: %w", name, err)
		}

		c.members = append(c.members, p)
	}

	return c, nil
}

// stop ends all workers, at the same time.
func (c *crew) stop() { demo.StopAll(c.members) }

// await waits until a condition holds, which is what.
func (c *crew) await(ctx context.Context, what string, condition func() (bool, error)) error {
	for end := time.Now().Add(patience); ; {
		ok, err := condition()
		if err != nil || ok {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("%w: %s does not come about within %v", errGaveUp, what, patience)
		}

		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// everyShardOwned waits until a living worker owns every shard.
func (c *crew) everyShardOwned(ctx context.Context) error {
	return c.await(ctx, "an owner for every shard", func() (bool, error) {
		for _, p := range c.members {
			if why := p.Failure(); why != "" {
				return false, fmt.Errorf("worker %s ended: %s", p.Name, why)
			}
		}

		owners, err := c.db.owners(ctx)
		if err != nil || len(owners) < shards {
			return false, err
		}

		for _, info := range owners {
			if !c.member(info.Owner).Alive() {
				return false, nil
			}
		}

		return true, nil
	})
}

func (c *crew) member(name string) *demo.Process {
	i := slices.IndexFunc(c.members, func(p *demo.Process) bool { return p.Name == name })
	return c.members[i]
}

// busiest is the worker that owns most shards.
func (c *crew) busiest(ctx context.Context) (*demo.Process, error) {
	owners, err := c.db.owners(ctx)
	if err != nil {
		return nil, err
	}
	count := map[string]int{}
	for _, info := range owners {
		count[info.Owner]++
	}
	return slices.MaxFunc(c.members, func(a, b *demo.Process) int { return count[a.Name] - count[b.Name] }), nil
}

// ownedBy are the shards of a worker that can no longer give them up.
func (c *crew) ownedBy(ctx context.Context, name string) (map[int]lock.Info, error) {
	owners, err := c.db.owners(ctx)
	for shard, info := range owners {
		if info.Owner != name {
			delete(owners, shard)
		}
	}
	return owners, err
}

// takenOver waits until others have written jobs of shards that a dead worker owned, and returns how long that took.
func (c *crew) takenOver(ctx context.Context, owned map[int]lock.Info) (time.Duration, error) {
	begun := time.Now()
	err := c.await(ctx, "a new owner", func() (bool, error) {
		for shard, info := range owned {
			if written, err := c.db.writtenAfter(ctx, shard, info.Token); err != nil || !written {
				return false, err
			}
		}
		return true, nil
	})
	return time.Since(begun), err
}
