package main

import (
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/status"
)

func (a *app) doctorCommand() *cobra.Command {
	cfg := status.DoctorConfig{}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find what is wrong with a database, with cause and remedy",
		Long: `Find what is wrong with a database, with cause and remedy.

It changes nothing: it reads, listens on a channel of its own for a moment, and commits one transaction without a row.
The exit code is 3 if something does not work.`,
		Args: args(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := a.bounded(cmd)
			defer cancel()

			// A database that cannot be reached is a finding, too.
			dsn, _ := a.address()
			pool, err := pgxpool.New(ctx, dsn)
			if err != nil {
				return err
			}
			defer pool.Close()
			cfg.Schema, cfg.Timeout = a.schema, a.timeout
			return a.reportDiagnosis(status.Doctor(ctx, pool, &cfg))
		},
	}
	cmd.Flags().StringSliceVar(&cfg.Components, "components", []string{status.ComponentBus}, "what is in use: bus, lock, sessionstore")
	cmd.Flags().DurationVar(&cfg.StaleAfter, "stale-after", 0, "StaleAfter of the bus, with the longest time that a cache serves on (default the library's)")
	cmd.Flags().DurationVar(&cfg.Retention, "retention", 0, "Retention of the bus (default the library's)")
	return cmd
}

func (a *app) reportDiagnosis(d status.Diagnosis) error {
	if a.json {
		if err := a.printJSON(d); err != nil {
			return err
		}
	} else {
		colours := map[status.Level]colour{status.LevelOK: green, status.LevelWarn: yellow, status.LevelFail: red}
		for _, f := range d.Findings {
			a.printf("%s  %-12s %s\n", a.paint(colours[f.Level], fmt.Sprintf("%-4s", f.Level)), f.Check, printable(f.Says))
			if f.Hint != "" {
				a.printf("%-19s-> %s\n", "", printable(f.Hint))
			}
		}
	}

	if d.Worst() == status.LevelFail {
		return exitCode{code: exitBad}
	}
	return nil
}
