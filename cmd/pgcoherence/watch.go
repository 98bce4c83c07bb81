package main

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus/watch"
)

func (a *app) watchCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "watch-table", Short: "Put triggers on tables, so that any writer invalidates"}
	cmd.AddCommand(a.watchAdd(), a.watchRemove(), a.watchList())
	return cmd
}

func (a *app) withInstaller(cmd *cobra.Command, f func(context.Context, *watch.Installer) error) error {
	ctx, cancel := a.bounded(cmd)
	defer cancel()
	return a.withPool(ctx, func(pool *pgxpool.Pool) error {
		installer, err := watch.New(pool, &watch.Config{Schema: a.schema})
		if err != nil {
			return err
		}
		return f(ctx, installer)
	})
}

func (a *app) watchAdd() *cobra.Command {
	var w watch.Watch
	var inTransaction bool
	cmd := &cobra.Command{
		Use:   "add TABLE TOPIC",
		Short: "Make every change of a table invalidate keys of a topic",
		Args:  args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			w.Table, w.Topic = given[0], given[1]
			if inTransaction {
				w.Announce = watch.InTransaction
			}

			return a.withInstaller(cmd, func(ctx context.Context, i *watch.Installer) error {
				changed, err := i.Install(ctx, w)
				if err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"table": w.Table, "topic": w.Topic, "changed": changed})
				}

				a.printf("%s\n", map[bool]string{true: "watched", false: "watched already; nothing was changed"}[changed])
				return nil
			})
		},
	}
	flags := cmd.Flags()
	flags.StringSliceVar(&w.Key, "key", nil, "columns that make the key, in order (default the primary key)")
	flags.BoolVar(&w.All, "all", false, "every change invalidates the whole topic")
	flags.IntVar(&w.MaxKeys, "max-keys", 0, "more keys in one statement become the whole topic (default the library's)")
	flags.BoolVar(&inTransaction, "announce-in-transaction", false, "send a NOTIFY in the writer's transaction: sooner, at the price of group commit")
	return cmd
}

func (a *app) watchRemove() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "remove TABLE TOPIC",
		Short: "Take the triggers off again",
		Args:  args(2, 2),
		RunE: func(cmd *cobra.Command, given []string) error {
			if err := a.confirmed(cmd.Context(), "Changes of "+given[0]+" will no longer invalidate "+given[1]+". Go on?"); err != nil {
				return err
			}
			return a.withInstaller(cmd, func(ctx context.Context, i *watch.Installer) error {
				if err := i.Uninstall(ctx, given[0], given[1]); err != nil {
					return err
				}
				if a.json {
					return a.printJSON(map[string]any{"table": given[0], "topic": given[1]})
				}

				a.printf("not watched any more\n")
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&a.yes, "yes", false, "do not ask")
	return cmd
}

// watchLine is a watch as the command shows it.
type watchLine struct {
	Table    string   `json:"table"`
	Topic    string   `json:"topic"`
	Key      []string `json:"key,omitempty"`
	All      bool     `json:"all"`
	Announce string   `json:"announce"`
	Broken   string   `json:"broken,omitempty"`
}

func (a *app) watchList() *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List what is watched, and what of it is broken",
		Args:  args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withInstaller(cmd, func(ctx context.Context, i *watch.Installer) error {
				all, err := i.List(ctx)
				if err != nil {
					return err
				}
				return a.printWatches(all)
			})
		},
	}
}

func (a *app) printWatches(all []watch.Watch) error {
	lines, broken := []watchLine{}, false
	var rows [][]string
	for _, w := range all {
		lines = append(lines, watchLine{w.Table, w.Topic, w.Key, w.All, w.Announce.String(), w.Broken})
		key, state := strings.Join(w.Key, ", "), a.paint(green, "ok")
		if w.All {
			key = "(whole topic)"
		}
		if w.Broken != "" {
			broken, state = true, a.paint(red, printable(w.Broken))
		}
		rows = append(rows, []string{printable(w.Table), printable(w.Topic), printable(key), w.Announce.String(), state})
	}

	var err error
	switch {
	case a.json:
		err = a.printJSON(lines)
	case len(rows) == 0:
		a.printf("no table is watched\n")
	default:
		err = a.table("TABLE\tTOPIC\tKEY\tANNOUNCED\tSTATE", rows)
	}
	if err == nil && broken {
		return exitCode{code: exitBad}
	}
	return err
}
