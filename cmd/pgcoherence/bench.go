package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// benchResult is what a short measurement of the user's own database found.
type benchResult struct {
	Server  string `json:"server_version"`
	Writers int    `json:"writers"`
	// Commits per second of an update alone, with an invalidation of this library, and with a NOTIFY in the transaction.
	Bare   float64 `json:"bare_per_second"`
	Ours   float64 `json:"with_invalidation_per_second"`
	Notify float64 `json:"with_notify_per_second"`
	// From the call of Publish to its delivery on another bus.
	DelayP50 float64 `json:"delay_p50_ms"`
	DelayP99 float64 `json:"delay_p99_ms"`
	// The whole of an update with an invalidation, by one writer.
	CommitP50 float64 `json:"commit_p50_ms"`
	Verdict   string  `json:"verdict"`
}

func (a *app) benchCommand() *cobra.Command {
	b := &bench{app: a}
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure what invalidations cost on this very database",
		Long: `Measure what invalidations cost on this very database, beside the same writes without them and beside a NOTIFY in the
writer's transaction; and how soon another pod hears of them.

It makes a schema of its own and drops it at the end. It keeps the server busy for a few seconds: ask whoever owns it.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if b.writers < 1 || b.writers > 64 {
				return usageError("bench: --writers: %d is not between 1 and 64", b.writers)
			}
			if b.time < 100*time.Millisecond || b.time > time.Minute {
				return usageError("bench: --time: %v is not between 100ms and 1m", b.time)
			}
			if err := a.confirmed(cmd.Context(), "This keeps the server busy for about "+span(6*b.time)+". Go on?"); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), a.timeout+10*b.time)
			defer cancel()
			return b.run(ctx)
		},
	}
	cmd.Flags().IntVar(&b.writers, "writers", 8, "writers at once")
	cmd.Flags().DurationVar(&b.time, "time", 2*time.Second, "how long each part takes")
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	return cmd
}

type bench struct {
	app     *app
	writers int
	time    time.Duration

	pool   *pgxpool.Pool
	schema string
	table  string
	bar    *progressbar.ProgressBar
}

// rounds are how often the kinds of writes take turns, so that a noisy machine treats them alike.
const rounds = 3

func (b *bench) run(ctx context.Context) (err error) {
	dsn, from := b.app.address()
	config, err := pgxpool.ParseConfig(dsn)
	if err != nil {
		return fmt.Errorf("address of the database (%s): %w", from, err)
	}
	config.MaxConns = int32(b.writers) + 4 //nolint:gosec // at most 64
	if b.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return err
	}
	defer b.pool.Close()

	b.schema = fmt.Sprintf("pgcoherence_bench_%x", time.Now().UnixNano())
	schema := pgx.Identifier{b.schema}.Sanitize()
	b.table = schema + ".item"
	quiet := slog.New(slog.DiscardHandler)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if _, dropErr := b.pool.Exec(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE"); err == nil && dropErr != nil {
			err = fmt.Errorf("drop schema %s: %w", b.schema, dropErr)
		}
	}()
	if err := bus.Migrate(ctx, b.pool, &bus.MigrateConfig{Schema: b.schema, Logger: quiet}); err != nil {
		return err
	}
	if _, err := b.pool.Exec(ctx, "CREATE TABLE "+b.table+" (id integer PRIMARY KEY, n bigint NOT NULL) WITH (fillfactor = 50); INSERT INTO "+b.table+" SELECT i, 0 FROM generate_series(0, 63) AS i"); err != nil {
		return err
	}

	r := benchResult{Writers: b.writers}
	if err := b.pool.QueryRow(ctx, "SHOW server_version").Scan(&r.Server); err != nil {
		return err
	}
	b.startBar()
	if err := b.measure(ctx, &r); err != nil {
		return err
	}
	_ = b.bar.Finish()
	r.Verdict = verdictOf(r)
	return b.app.printBench(r)
}

func (b *bench) startBar() {
	b.bar = progressbar.NewOptions(rounds*3+1, progressbar.OptionSetWriter(b.app.errOut), progressbar.OptionSetDescription("measuring"),
		progressbar.OptionSetVisibility(!b.app.json && isTerminal(b.app.errOut)), progressbar.OptionFullWidth(), progressbar.OptionClearOnFinish(), progressbar.OptionShowCount())
}

func (b *bench) measure(ctx context.Context, r *benchResult) error {
	running, stop := context.WithCancel(ctx)
	defer stop()
	var buses [2]*bus.Postgres
	var wg sync.WaitGroup
	for i := range buses {
		one, err := bus.NewPostgres(b.pool, &bus.Config{Schema: b.schema, Name: fmt.Sprintf("bench-%d", i), Logger: b.app.logger()})
		if err != nil {
			return err
		}
		buses[i] = one
		wg.Go(func() { _ = one.Run(running) }) // its end is seen below: nothing is ready then
	}
	defer wg.Wait()
	defer stop()
	for _, one := range buses {
		select {
		case <-one.Ready():
		case <-time.After(10 * time.Second):
			return errors.New("a bus was not in sync within 10s: run doctor")
		case <-ctx.Done():
			return ctx.Err()
		}
	}

	kinds := []struct {
		into  *float64
		write func(context.Context, int) error
	}{
		{&r.Bare, func(ctx context.Context, w int) error {
			return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error { return b.update(ctx, tx, w) })
		}},
		{&r.Ours, func(ctx context.Context, w int) error {
			_, err := buses[0].InTx(ctx, func(tx *bus.Tx) error {
				tx.Invalidate("bench", itoa(w))
				return b.update(ctx, tx, w)
			})
			return err
		}},
		{&r.Notify, func(ctx context.Context, w int) error {
			return pgx.BeginFunc(ctx, b.pool, func(tx pgx.Tx) error {
				if err := b.update(ctx, tx, w); err != nil {
					return err
				}
				_, err := tx.Exec(ctx, "SELECT pg_notify($1, $2)", b.schema+"_plain", itoa(w))
				return err
			})
		}},
	}
	rates := make([][]float64, len(kinds))
	for range rounds {
		for i, k := range kinds {
			rate, err := b.rate(ctx, k.write)
			if err != nil {
				return err
			}
			rates[i] = append(rates[i], rate)
			_ = b.bar.Add(1)
		}
	}
	for i, k := range kinds {
		*k.into = median(rates[i])
	}
	return b.delay(ctx, buses[0], buses[1], r)
}

func (b *bench) update(ctx context.Context, tx pgx.Tx, w int) error {
	_, err := tx.Exec(ctx, "UPDATE "+b.table+" SET n = n + 1 WHERE id = $1", w)
	return err
}

// rate returns commits per second of all writers, each on a row of its own.
func (b *bench) rate(ctx context.Context, write func(context.Context, int) error) (float64, error) {
	var n atomic.Int64
	var first atomic.Pointer[error]
	var wg sync.WaitGroup
	begin := time.Now()
	for w := range b.writers {
		wg.Go(func() {
			for time.Since(begin) < b.time/rounds && first.Load() == nil {
				if err := write(ctx, w); err != nil {
					first.CompareAndSwap(nil, &err)
					return
				}
				n.Add(1)
			}
		})
	}

	wg.Wait()

	if err := first.Load(); err != nil {
		return 0, *err
	}

	return float64(n.Load()) / time.Since(begin).Seconds(), nil
}

// delay publishes one event after the other, and waits for each on the other bus.
func (b *bench) delay(ctx context.Context, from, to *bus.Postgres, r *benchResult) error {
	arrived := make(chan time.Time, 16)
	defer to.Subscribe("bench-delay", bus.SubscriberFuncs{OnInvalidate: func(bus.Delivery) { arrived <- time.Now() }})()

	var delays, commits []float64
	for begin := time.Now(); time.Since(begin) < b.time; {
		sent := time.Now()

		if _, err := from.Publish(ctx, bus.Event{Topic: "bench-delay", Keys: []string{"1"}}); err != nil {
			return err
		}

		commits = append(commits, milliseconds(time.Since(sent)))

		select {
		case at := <-arrived:
			delays = append(delays, milliseconds(at.Sub(sent)))
		case <-time.After(5 * time.Second):
			return exitCode{exitBad, "an event did not arrive within 5s: run doctor"}
		case <-ctx.Done():
			return ctx.Err()
		}

		time.Sleep(5 * time.Millisecond)
	}

	_ = b.bar.Add(1)
	r.DelayP50, r.DelayP99, r.CommitP50 = quantile(delays, 0.5), quantile(delays, 0.99), quantile(commits, 0.5)
	return nil
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

func median(values []float64) float64 { return quantile(values, 0.5) }

func quantile(values []float64, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sorted := slices.SortedFunc(slices.Values(values), cmp.Compare[float64])
	return sorted[min(int(q*float64(len(sorted))), len(sorted)-1)]
}

func verdictOf(r benchResult) string {
	ours, notify := r.Ours/r.Bare, r.Notify/r.Bare
	text := "invalidating in the transaction " + costs(ours) + ", a NOTIFY in it " + costs(notify)
	if ours < 0.6 {
		text += "; that is less than it should be: look at the server's load and run doctor"
	}
	return text
}

// costs puts into words what part of the commits is left.
func costs(left float64) string {
	if left > 0.98 {
		return "costs nothing that could be measured"
	}
	return fmt.Sprintf("costs %.0f %% of the commits", (1-left)*100)
}

func (a *app) printBench(r benchResult) error {
	if a.json {
		return a.printJSON(r)
	}

	part := func(rate float64) string { return fmt.Sprintf("%.2f", rate/r.Bare) }
	rows := [][]string{
		{"update", fmt.Sprintf("%.0f", r.Bare), "1.00"},
		{"update + invalidation", fmt.Sprintf("%.0f", r.Ours), part(r.Ours)},
		{"update + NOTIFY in the transaction", fmt.Sprintf("%.0f", r.Notify), part(r.Notify)},
	}
	if err := a.table(fmt.Sprintf("%d WRITERS, POSTGRES %s\tCOMMITS/S\tRATIO", r.Writers, r.Server), rows); err != nil {
		return err
	}

	a.printf("\nto another pod: %.1f ms at the median, %.1f ms at the 99th percentile, of which %.1f ms are the commit\n", r.DelayP50, r.DelayP99, r.CommitP50)
	a.printf("%s\n", r.Verdict)
	return nil
}
