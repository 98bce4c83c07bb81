package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/lock"
)

// guardPlan is how often guarded and other transactions are committed.
type guardPlan struct {
	Rounds  int
	Clients int
	Pace    pace
}

// guarding is a row's update with Guard as one more statement before it.
type guarding struct {
	pool    *pgxpool.Pool
	clients int
	leases  int // how many share the work: one for each client, or one for all

	locker *locking
	held   []*lock.Lease
}

func (g *guarding) name() string { return "guarded." + strconv.Itoa(g.leases) }

func (g *guarding) start(ctx context.Context) (err error) {
	if g.locker, err = startLocking(ctx, g.pool, "bench"); err != nil {
		return err
	}
	g.held = nil
	for i := range g.leases {
		lease, err := g.locker.TryAcquire(ctx, "shard "+strconv.Itoa(i))
		if err != nil {
			return errors.Join(err, g.locker.stop())
		}
		g.held = append(g.held, lease)
	}
	return nil
}

func (g *guarding) transact(ctx context.Context, id int64) error {
	tx, err := g.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("guarded: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing

	client := int(id) / (items / g.clients)
	if err := g.held[client%g.leases].Guard(ctx, tx); err != nil {
		return fmt.Errorf("guarded: %w", err)
	}
	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("guarded: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("guarded: %w", err)
	}

	return nil
}

func (g *guarding) stop(ctx context.Context, _ int64) error {
	var errs []error
	for _, lease := range g.held {
		errs = append(errs, lease.Release(ctx))
	}
	return errors.Join(append(errs, g.locker.stop())...)
}

// ping is an update with a statement before it that does nothing: what of a
// guard's price is the round trip.
type ping struct{ bare }

func (p *ping) name() string { return "ping" }

func (p *ping) transact(ctx context.Context, id int64) error {
	tx, err := p.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after Commit this does nothing

	if _, err := tx.Exec(ctx, `SELECT 1`); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if _, err := tx.Exec(ctx, update, id); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("ping: %w", err)
	}

	return nil
}

func measureGuards(ctx context.Context, r *report, pool *pgxpool.Pool, plan guardPlan) error {
	variants := []variant{
		&bare{pool}, &ping{bare{pool}}, &guarding{pool: pool, clients: plan.Clients, leases: plan.Clients},
		&guarding{pool: pool, clients: plan.Clients, leases: 1},
	}
	titles := []string{"an update", "and SELECT 1 before it", "and Guard before it, each client its own lease", "and Guard before it, all under one lease"}
	rates := rateTable{}
	for round := range plan.Rounds {
		if _, err := pool.Exec(ctx, `VACUUM item, pgcoherence.lease`); err != nil {
			return err
		}
		for i := range variants {
			v := variants[(i+round)%len(variants)]
			p := plan.Pace
			if round == 0 {
				p.lead += 300 * time.Millisecond // prepares the statements
			}

			rate, err := slot(ctx, v, plan.Clients, p)
			if err != nil {
				return err
			}

			rates.add("guard", plan.Clients, v.name(), rate)
		}
	}

	r.row()
	r.row("clients", "guards a transaction", "tx/s", "percent lost")

	for i, v := range variants {
		key := rateKey("guard", plan.Clients, v.name())
		f := newFigure(key, "tx/s", rates[key])
		r.add(f)

		ratio, err := rates.ratio("guard", plan.Clients, v.name(), "bare")
		if err != nil {
			return err
		}

		lost := make([]float64, len(ratio))
		for i := range ratio {
			lost[i] = 100 * (1 - ratio[i])
		}

		r.row(plan.Clients, titles[i], f.summary, summarize(lost))

		if i == 2 {
			r.add(newFigure("lock.guard_cost", "percent", lost))
			r.result("lock.guard_cost", median(lost))
		}
	}

	return nil
}
