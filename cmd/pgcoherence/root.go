package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/bus"
)

// app is what all commands share.
type app struct {
	in          io.Reader
	out, errOut io.Writer

	dsn     string
	schema  string
	json    bool
	noColor bool
	verbose bool
	yes     bool
	timeout time.Duration
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "pgcoherence",
		Short: "Look after a database that pgcoherence uses",
		Long: `Look after a database that pgcoherence uses.

Exit codes:
  0  done
  1  it did not work; the message says why
  2  the command line makes no sense
  3  it worked, and what was found is bad: doctor found a failure, a confirmation did not come, a watch is broken
  4  lock: the lease was lost while the program ran
  5  lock: the lease was not to be had within --wait
  130  interrupted
lock passes on the exit code of the program that it ran.`,
		Version:       version(),
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return exitCode{exitUsage, err.Error()} })

	flags := root.PersistentFlags()
	flags.StringVar(&a.dsn, "dsn", "", "address of the database (default $"+envDSN+", else libpq's variables)")
	flags.StringVar(&a.schema, "schema", envOr(envSchema, bus.DefaultSchema), "schema of the tables, $"+envSchema)
	flags.BoolVar(&a.json, "json", false, "write JSON")
	flags.BoolVar(&a.noColor, "no-color", false, "no colours, as $NO_COLOR and where the output is no terminal")
	flags.BoolVarP(&a.verbose, "verbose", "v", false, "log what the library logs")
	flags.DurationVar(&a.timeout, "timeout", 30*time.Second, "bound of commands that do not wait for something by design")

	root.AddCommand(
		a.doctorCommand(), a.migrateCommand(), a.podsCommand(), a.statusCommand(), a.tailCommand(), a.invalidateCommand(),
		a.confirmCommand(), a.watchCommand(), a.sessionsCommand(), a.lockCommand(), a.locksCommand(), a.benchCommand(), a.configCommand(),
	)
	return root
}

// version returns the version of the module that this program was built from, with the commit where it was built in a
// clone: what go install and go build write into a binary.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}

	version := info.Main.Version
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && !strings.Contains(version, setting.Value[:min(12, len(setting.Value))]) {
			version += " " + setting.Value[:min(12, len(setting.Value))]
		}
	}
	return version + ", " + info.GoVersion
}

// args checks the number of arguments, so that a wrong one is a usage error.
func args(least, most int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, given []string) error {
		switch {
		case len(given) < least:
			return usageError("%s: too few arguments; see pgcoherence %s --help", cmd.Name(), cmd.Name())
		case most >= 0 && len(given) > most:
			return usageError("%s: too many arguments; see pgcoherence %s --help", cmd.Name(), cmd.Name())
		}
		return nil
	}
}

// bounded is the context of a command that does not wait by design.
func (a *app) bounded(cmd *cobra.Command) (context.Context, context.CancelFunc) {
	return context.WithTimeout(cmd.Context(), a.timeout)
}

// logger writes to the standard error what the library logs: warnings and errors, or everything.
func (a *app) logger() *slog.Logger {
	level := slog.LevelError
	if a.verbose {
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.errOut, &slog.HandlerOptions{Level: level}))
}

// withPool runs f with a pool that ends with it.
func (a *app) withPool(ctx context.Context, f func(*pgxpool.Pool) error) error {
	pool, err := a.connect(ctx)
	if err != nil {
		return err
	}
	defer pool.Close()
	return f(pool)
}

// withBus runs f with a bus that publishes, and does not run.
func (a *app) withBus(ctx context.Context, f func(*pgxpool.Pool, *bus.Postgres) error) error {
	return a.withPool(ctx, func(pool *pgxpool.Pool) error {
		b, err := bus.NewPostgres(pool, a.busConfig())
		if err != nil {
			return err
		}
		return f(pool, b)
	})
}

// withRunningBus runs f with a bus that is in sync. While it runs this program is one of the pods.
func (a *app) withRunningBus(ctx context.Context, f func(context.Context, *pgxpool.Pool, *bus.Postgres) error) error {
	return a.withBus(ctx, func(pool *pgxpool.Pool, b *bus.Postgres) error {
		running, stop := context.WithCancel(context.WithoutCancel(ctx))
		ended := make(chan error, 1)
		go func() { ended <- b.Run(running) }()
		defer func() {
			stop()
			if ended != nil {
				<-ended //nolint:errcheck // nil, for its context has ended
			}
		}()

		// A command may wait for ever for a lease, but not for a server that will not do.
		starting, cancel := context.WithTimeout(ctx, a.timeout)
		defer cancel()
		select {
		case <-b.Ready():
		case err := <-ended:
			ended = nil
			return err
		case <-starting.Done():
			if last := b.Stats().LastError; last != "" {
				return fmt.Errorf("the bus is not in sync: %w: %s", context.Cause(starting), last)
			}
			return fmt.Errorf("the bus is not in sync: %w", context.Cause(starting))
		}
		return f(ctx, pool, b)
	})
}

func (a *app) busConfig() *bus.Config {
	return &bus.Config{Schema: a.schema, Name: "pgcoherence (command line)", Logger: a.logger()}
}
