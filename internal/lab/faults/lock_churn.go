package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Churn is contenders of a pod who want one lease, wait for it for a short time only, and ask again.
type Churn struct {
	Key        string
	Contenders int
	Wait       time.Duration
	For        time.Duration
}

// Churned is when the lease was granted, since the churn began, and how often it was not.
type Churned struct {
	Granted []time.Time
	GaveUp  int
}

// Churn lets the contenders contend. They share a pool of four connections with whatever else the pod does.
func (h *holder) Churn(c Churn, out *Churned) error {
	ctx, cancel := context.WithTimeout(h.p.ctx, c.For)
	defer cancel()

	var mu sync.Mutex
	var all sync.WaitGroup
	for range c.Contenders {
		all.Go(func() {
			for ctx.Err() == nil {
				hurried, cancel := context.WithTimeout(h.p.ctx, c.Wait)
				lease, err := h.locker.Acquire(hurried, c.Key)
				cancel()
				mu.Lock()
				if err != nil {
					out.GaveUp++
				} else {
					out.Granted = append(out.Granted, time.Now())
				}

				mu.Unlock()

				if err == nil {
					_ = lease.Release(h.p.ctx) // seen to below: nothing may be left
				}
			}
		})
	}

	all.Wait()
	return nil
}

const (
	churnFor    = 8 * time.Second
	churnWait   = 50 * time.Millisecond
	churnPods   = 3
	churnEach   = 60
	churnGrants = 500         // at least
	churnGap    = time.Second // at the most
)

// giveUp has many contend who give up soon. The lease has to go from hand to hand all the same, and nothing may be left.
func giveUp(ctx context.Context, s *scene) error {
	s.locks.stop() // for this the pods have their hands free
	results := make([]Churned, churnPods)
	errs := make([]error, churnPods)
	var all sync.WaitGroup
	for i := range churnPods {
		all.Go(func() {
			call, cancel := context.WithTimeout(ctx, churnFor+answerPatience)
			defer cancel()
			errs[i] = s.pods()[i].call(call, "Churn", Churn{Key: "hot", Contenders: churnEach, Wait: churnWait, For: churnFor}, &results[i])
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}

	var granted []time.Time
	gaveUp := 0
	for _, r := range results {
		granted = append(granted, r.Granted...)
		gaveUp += r.GaveUp
	}
	slices.SortFunc(granted, time.Time.Compare)
	gap := time.Duration(0)
	for i := 1; i < len(granted); i++ {
		gap = max(gap, granted[i].Sub(granted[i-1]))
	}
	s.note("%d grants, the longest gap %v, given up %d times", len(granted), gap.Round(time.Millisecond), gaveUp)
	if len(granted) < churnGrants || gap > churnGap {
		return fmt.Errorf("%d grants in %v and a gap of %v: want at least %d, and none above %v", len(granted), churnFor, gap, churnGrants, churnGap)
	}
	if err := nothingLeft(ctx, s); err != nil {
		return err
	}
	s.locks.resume(ctx)
	return nil
}

// nothingLeft waits until no waiter and no grant is left.
func nothingLeft(ctx context.Context, s *scene) error {
	pool, err := pgxpool.New(ctx, s.dsn)
	if err != nil {
		return err
	}
	defer pool.Close()

	left := -1
	for end := time.Now().Add(churnWait * 20); time.Now().Before(end); {
		err = pool.QueryRow(ctx, `SELECT (SELECT count(*) FROM pgcoherence.lease_waiter WHERE key = 'hot')
			+ (SELECT count(*) FROM pgcoherence.lease WHERE key = 'hot' AND (expires_at > clock_timestamp() OR next_id IS NOT NULL))`).Scan(&left)
		if err == nil && left == 0 {
			return nil
		}
		if err := pause(ctx, liveEvery); err != nil {
			return err
		}
	}

	return errors.Join(err, fmt.Errorf("%d waiters and grants are left a second later", left))
}
