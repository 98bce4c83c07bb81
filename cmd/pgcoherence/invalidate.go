package main

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

func (a *app) invalidateCommand() *cobra.Command {
	var all, confirm bool
	cmd := &cobra.Command{
		Use:   "invalidate TOPIC [KEY…]",
		Short: "Invalidate keys of a topic on all pods, or the whole topic",
		Args:  args(1, -1),
		RunE: func(cmd *cobra.Command, given []string) error {
			event := bus.Event{Topic: given[0], Keys: given[1:], All: all}
			switch {
			case all && len(event.Keys) > 0:
				return usageError("invalidate: --all goes without keys")
			case !all && len(event.Keys) == 0:
				return usageError("invalidate: name keys, or say --all")
			case all:
				if err := a.confirmed(cmd.Context(), "Invalidate everything of the topic "+event.Topic+" on all pods?"); err != nil {
					return err
				}
			}

			ctx, cancel := a.bounded(cmd)
			defer cancel()
			if !confirm {
				return a.withBus(ctx, func(_ *pgxpool.Pool, b *bus.Postgres) error {
					if _, err := b.Publish(ctx, event); err != nil {
						return err
					}
					return a.done("invalidated", event)
				})
			}
			return a.withRunningBus(ctx, func(ctx context.Context, _ *pgxpool.Pool, b *bus.Postgres) error {
				took, err := publishAndConfirm(ctx, b, event)
				if err != nil {
					return err
				}
				if !a.json {
					a.printf("invalidated, and confirmed by all pods after %s\n", span(took))
					return nil
				}
				return a.printJSON(map[string]any{"topic": event.Topic, "keys": event.Keys, "all": event.All, "confirmed_seconds": took.Seconds()})
			})
		},
	}
	cmd.Flags().BoolVar(&all, "all", false, "the whole topic")
	cmd.Flags().BoolVar(&confirm, "confirm", false, "wait until no pod serves the old values")
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	return cmd
}

func (a *app) done(what string, event bus.Event) error {
	if a.json {
		return a.printJSON(map[string]any{"topic": event.Topic, "keys": event.Keys, "all": event.All})
	}
	a.printf("%s\n", what)
	return nil
}

// publishAndConfirm returns how long it took until all pods had confirmed.
func publishAndConfirm(ctx context.Context, b *bus.Postgres, event bus.Event) (time.Duration, error) {
	begin := time.Now()
	receipt, err := b.Publish(ctx, event)
	if err != nil {
		return 0, err
	}
	if err := b.Confirm(ctx, receipt); err != nil {
		if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, bus.ErrUnconfirmed) {
			return 0, exitCode{exitBad, "not confirmed: " + err.Error()}
		}
		return 0, err
	}
	return time.Since(begin), nil
}

// confirmTopic carries events of which nothing is cached.
const confirmTopic = "pgcoherence.confirm"

func (a *app) confirmCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "confirm",
		Short: "Wait until all pods have applied everything that has committed by now",
		Long: `Wait until all pods have applied everything that has committed by now, or can no longer serve what is older.

The exit code is 3 if that does not come within --timeout.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd)
			defer cancel()
			return a.withRunningBus(ctx, func(ctx context.Context, _ *pgxpool.Pool, b *bus.Postgres) error {
				took, err := publishAndConfirm(ctx, b, bus.Event{Topic: confirmTopic, Keys: []string{"now"}})
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"confirmed_seconds": took.Seconds()})
				}
				a.printf("confirmed by all pods after %s\n", span(took))
				return nil
			})
		},
	}
}
