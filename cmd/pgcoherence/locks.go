package main

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/lock"
)

// leaseLine is a lease as the command shows it.
type leaseLine struct {
	Key       string            `json:"key"`
	Held      bool              `json:"held"`
	Owner     string            `json:"owner,omitempty"`
	Token     int64             `json:"token"`
	Since     float64           `json:"since_seconds"`
	Remaining float64           `json:"remaining_seconds"`
	Waiters   int               `json:"waiters"`
	Metadata  map[string]string `json:"metadata,omitempty"`
	Shared    bool              `json:"shared,omitempty"`
	Limit     int               `json:"limit,omitempty"`
	Holders   int               `json:"holders,omitempty"`
}

// holder is the owner, and how many others have the lease beside it.
func (l leaseLine) holder() string {
	switch {
	case !l.Shared:
		return printable(l.Owner)
	case l.Limit > 0:
		return fmt.Sprintf("%s (%d of %d)", printable(l.Owner), l.Holders, l.Limit)
	}
	return fmt.Sprintf("%s (%d share it)", printable(l.Owner), l.Holders)
}

func (a *app) locksCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "locks", Short: "List, inspect and steal leases"}
	cmd.AddCommand(a.locksList(), a.locksInspect(), a.locksSteal())
	return cmd
}

func (a *app) withLocker(cmd *cobra.Command, f func(context.Context, *lock.Locker) error) error {
	ctx, cancel := a.bounded(cmd)
	defer cancel()
	return a.withBus(ctx, func(pool *pgxpool.Pool, b *bus.Postgres) error {
		locker, err := lock.New(b, pool, &lock.Config{Schema: a.schema, Owner: ownerName(), Logger: a.logger()})
		if err != nil {
			return err
		}
		return f(ctx, locker)
	})
}

func lineOf(i lock.Info) leaseLine {
	return leaseLine{i.Key, i.Held, i.Owner, i.Token, i.Since.Seconds(), i.Remaining.Seconds(), i.Waiters, i.Metadata, i.Shared, i.Limit, i.Holders}
}

func (a *app) locksList() *cobra.Command {
	var prefix string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the leases that are held",
		Args:  args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withLocker(cmd, func(ctx context.Context, l *lock.Locker) error {
				lines := []leaseLine{}
				for after := ""; ; {
					page, err := l.List(ctx, prefix, after, 0)
					if err != nil {
						return err
					}
					if len(page) == 0 {
						return a.printLeases(lines)
					}

					for _, i := range page {
						lines = append(lines, lineOf(i))
					}

					after = page[len(page)-1].Key
				}
			})
		},
	}
	cmd.Flags().StringVar(&prefix, "prefix", "", "only keys that begin with this")
	return cmd
}

func (a *app) printLeases(lines []leaseLine) error {
	if a.json {
		return a.printJSON(lines)
	}

	if len(lines) == 0 {
		a.printf("no lease is held\n")
		return nil
	}

	var rows [][]string
	for _, l := range lines {
		rows = append(rows, []string{
			printable(l.Key), l.holder(), span(seconds(l.Since)), span(seconds(l.Remaining)), plural(l.Waiters, "waits", "wait"),
		})
	}

	return a.table("KEY\tHOLDER\tSINCE\tEXPIRES IN\tQUEUE", rows)
}

func (a *app) locksInspect() *cobra.Command {
	return &cobra.Command{
		Use:   "inspect KEY",
		Short: "Show who holds a lease, and how many wait for it",
		Args:  args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			return a.withLocker(cmd, func(ctx context.Context, l *lock.Locker) error {
				info, err := l.Inspect(ctx, given[0])
				if err != nil {
					return err
				}

				line := lineOf(info)
				if a.json {
					return a.printJSON(line)
				}

				if !line.Held {
					a.printf("%s is free, %s\n", printable(line.Key), plural(line.Waiters, "waits", "wait"))
					return nil
				}

				a.printf("%s is held by %s since %s, token %d, expires in %s unless renewed, %s\n", printable(line.Key), line.holder(),
					span(seconds(line.Since)), line.Token, span(seconds(line.Remaining)), plural(line.Waiters, "waits", "wait"))
				return nil
			})
		},
	}
}

func (a *app) locksSteal() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "steal KEY",
		Short: "Take a lease away from its holder, and release it",
		Long: `Take a lease away from its holder, and release it to whoever waits.

The holder's guarded transactions are refused from then on. Work that it does outside of the database goes on until it
notices: use it where the holder hangs, and the lease must not wait for it.`,
		Args: args(1, 1),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := a.confirmed(cmd.Context(), "Take the lease "+given[0]+" away from its holder?"); err != nil {
				return err
			}
			return a.withLocker(cmd, func(ctx context.Context, l *lock.Locker) error {
				lease, err := l.Steal(ctx, given[0])
				if err != nil {
					return err
				}
				token := lease.Token()
				if err := lease.Release(ctx); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"key": given[0], "token": token})
				}
				a.printf("taken away and released\n")
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	return cmd
}
