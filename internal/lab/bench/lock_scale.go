package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/pgcoherence/pgcoherence/lock"
)

// lockFunctions takes leases by the SQL functions alone, as a client in another
// language does.
type lockFunctions struct{ pool *pgxpool.Pool }

const (
	lockFunctionsName = "functions"
	sqlClients        = 16
)

func (l *lockFunctions) name() string                                 { return lockFunctionsName }
func (l *lockFunctions) title() string                                { return "lease_acquire, lease_release" }
func (l *lockFunctions) start(context.Context) error                  { return nil }
func (l *lockFunctions) stop(context.Context, int64) error            { return nil }
func (l *lockFunctions) transact(ctx context.Context, id int64) error { return errors.ErrUnsupported }

func (l *lockFunctions) take(ctx context.Context, key string) (func(context.Context) error, error) {
	var token *int64
	err := l.pool.QueryRow(ctx, "SELECT token FROM pgcoherence.lease_acquire($1, 'bench', '15 s')", key).Scan(&token)
	if err == nil && token == nil {
		err = fmt.Errorf("%q is held", key)
	}
	return func(ctx context.Context) error {
		var held bool
		err := l.pool.QueryRow(ctx, "SELECT pgcoherence.lease_release($1, $2)", key, token).Scan(&held)
		if err == nil && !held {
			err = fmt.Errorf("%q was not held", key)
		}
		return err
	}, err
}

// beatPlan is how many leases a process renews, and how often until it counts.
type beatPlan struct {
	Leases, Beats int
	TTL           time.Duration
}

// measureBeats measures how long a heartbeat takes that renews all leases of a
// process, when the plans of its statements have long been kept.
func measureBeats(ctx context.Context, r *report, pool *pgxpool.Pool, plan beatPlan) (err error) {
	l, err := lock.New(nil, pool, &lock.Config{Owner: "beats", Logger: warnings(), Options: lock.Options{TTL: plan.TTL}, DrainTimeout: -1})
	if err != nil {
		return err
	}

	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- l.Run(ctx) }()
	defer func() { cancel(); err = errors.Join(err, <-ended) }()

	var keys []string
	for i := range plan.Leases {
		keys = append(keys, "beat "+strconv.Itoa(i))
		if len(keys) == lock.MaxMany || i == plan.Leases-1 {
			if _, err := l.TryAcquireMany(ctx, keys...); err != nil {
				return err
			}
			keys = nil
		}
	}

	begun, last := time.Now(), int64(0)
	beats, took := 0, time.Duration(0)
	for beats < plan.Beats {
		if s := l.Stats(); s.Heartbeats > last && s.HeartbeatTook != took { // a beat is some statements: its time changes when all are done
			beats++
			last, took = s.Heartbeats, s.HeartbeatTook
		}

		if held := l.Stats().Held; held < plan.Leases || time.Since(begun) > 10*time.Duration(plan.Beats)*plan.TTL {
			return fmt.Errorf("%d of %d leases are held, after %d beats", held, plan.Leases, beats)
		}

		sleep(ctx, time.Millisecond)
	}

	r.row()
	r.row("leases of a process", "beat", "takes ms")
	r.row(plan.Leases, beats, number(took.Seconds()*1e3))
	r.result("lock.heartbeat_ms."+strconv.Itoa(plan.Leases), took.Seconds()*1e3)
	return nil
}

// measureUnderSnapshot measures how often a lease is handed on while a snapshot of
// some age is open elsewhere, compared with none.
func measureUnderSnapshot(ctx context.Context, r *report, s *server, plan handOffPlan, age time.Duration) error {
	rate := func(lead time.Duration) (float64, error) {
		p := plan
		p.Hold = 0
		p.Pace.lead = lead
		one, err := handOff(ctx, s, &lockLease{}, p)
		if err != nil {
			return 0, err
		}

		return float64(len(one.all)) / one.took.Seconds(), nil
	}
	without, err := rate(plan.Pace.lead)
	if err != nil {
		return err
	}

	pool, err := s.pool(ctx, 1, nil)
	if err != nil {
		return err
	}
	defer pool.Close()

	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	if err != nil {
		return err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }() // it has only read

	if _, err := tx.Exec(ctx, "SELECT FROM pgcoherence.lease LIMIT 1"); err != nil {
		return err
	}

	with, err := rate(age)
	if err != nil {
		return err
	}

	r.row()
	r.row("hand-overs/s without an old snapshot", "under one of "+age.String())
	r.row(number(without), number(with))
	r.result("lock.handoffs_under_snapshot_ratio", with/without)
	return nil
}
