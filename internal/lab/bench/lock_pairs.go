package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
)

// lockSide is one way to take a lease and give it back, as a variant: a
// transaction is such a pair.
type lockSide interface {
	variant
	title() string
	// take waits for a lease, and answers how to give it back.
	take(ctx context.Context, key string) (release func(context.Context) error, err error)
}

// pairs makes a variant of a side: each client takes and releases, in turn, a
// few leases that nobody else wants.
type pairs struct {
	lockSide
	clients int
}

// keysEach is how many leases a client takes in turn: known ones, as with jobs
// that come again.
const keysEach = 16

func (p *pairs) transact(ctx context.Context, id int64) error {
	client := id / int64(items/p.clients)
	release, err := p.take(ctx, "job "+strconv.FormatInt(client*keysEach+id%keysEach, 10))
	if err == nil {
		err = release(ctx)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", p.name(), err)
	}
	return nil
}

// base is what others are compared with.
const lockBase, lockOurs = "sql", "ours"

func measurePairs(ctx context.Context, r *report, pool *pgxpool.Pool, peers *lockPeers, plan lockPairs) error {
	sides := append([]lockSide{&lockSQL{pool, false}, &lockSQL{pool, true}, &lockLease{pool: pool}, &lockFunctions{pool}}, peers.sides...)
	rates := rateTable{}
	for round := range plan.Rounds {
		if _, err := pool.Exec(ctx, `VACUUM bare_lease, pgcoherence.lease`); err != nil {
			return err
		}
		for _, clients := range plan.Clients {
			for i := range sides {
				side := sides[(i+round)%len(sides)]
				p := plan.Pace
				if round == 0 {
					p.lead *= 4 // makes the rows and prepares the statements
				}

				rate, err := slot(ctx, &pairs{side, clients}, clients, p)
				if err != nil {
					return err
				}

				rates.add("lock", clients, side.name(), rate)
			}
		}
	}

	r.row("clients", "takes and releases leases without contention", "pairs/s", "÷ bare SQL", "survives a power cut")

	for _, clients := range plan.Clients {
		for _, side := range sides {
			key := rateKey("lock", clients, side.name())
			f := newFigure(key, "pairs/s", rates[key])
			ratio, err := rates.ratio("lock", clients, side.name(), lockBase)
			if err != nil {
				return err
			}

			r.add(f)
			r.row(clients, side.title(), f.summary, summarize(ratio), survives(side))

			if side.name() == lockOurs {
				waits, err := rates.ratio("lock", clients, lockOurs, lockBase+".waits")
				if err != nil {
					return err
				}

				functions, err := rates.ratio("lock", clients, lockFunctionsName, lockOurs)
				if err != nil {
					return err
				}
				if clients == min(sqlClients, plan.Clients[len(plan.Clients)-1]) {
					r.result("lock.sql_ratio", summarize(functions).Value)
				}

				for _, f := range []figure{
					newFigure("lock.ratio.sql."+strconv.Itoa(clients), "ratio", ratio),
					newFigure("lock.ratio.sql_waits."+strconv.Itoa(clients), "ratio", waits),
				} {
					r.add(f)
					r.result(f.Name, f.Value)
				}
			}
		}
		for _, name := range peers.missing {
			r.row(clients, name, "SKIPPED", "–", "–")
		}
	}

	return nil
}

// survives reports whether what a side has granted is on disk before it answers.
func survives(side lockSide) string {
	if _, ok := side.(interface{ forgets() }); ok {
		return "no"
	}
	return "yes"
}
