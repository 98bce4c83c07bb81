package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

// Exit codes: compare has one of its own, so that a script can tell a slower
// library from a measurement that failed.
const (
	exitFailed = 1
	exitSlower = 2
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Stdout)
	stop()
	if err == nil {
		return
	}

	fmt.Fprintln(os.Stderr, "bench:", err)
	if errors.Is(err, errSlower) {
		os.Exit(exitSlower)
	}
	os.Exit(exitFailed)
}

// execute runs one command line and writes its table and results to out.
func execute(ctx context.Context, args []string, out io.Writer) error {
	var o options
	root := newRoot(&o)
	for _, c := range measurements(&o) {
		root.AddCommand(o.alone(c))
	}
	root.AddCommand(allCommand(&o), reportCommand(&o), compareCommand())

	root.SetOut(out)
	root.SetArgs(doubleDashes(root, args))
	stop := func() error { return nil }
	root.PersistentPreRunE = func(*cobra.Command, []string) (err error) {
		stop, err = startProfile(o.cpu)
		return err
	}
	err := root.ExecuteContext(ctx)
	return errors.Join(err, stop())
}

// measurements are the commands that measure something, in the order of bench all.
func measurements(o *options) []*cobra.Command {
	return []*cobra.Command{
		writeCommand(o), delayCommand(o), fanoutCommand(o), confirmCommand(o), catchupCommand(o), idleCommand(o),
		hitCommand(o), ratioCommand(o), fillCommand(o), memoryCommand(o), staleCommand(o), tierCommand(o),
		sessionCommand(o), lockCommand(o), growthCommand(o),
	}
}

func newRoot(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "bench",
		Short: "measure the library beside baselines",
		// An error in the middle of a measurement is no reason to explain the flags.
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	flags := root.PersistentFlags()
	flags.BoolVar(&o.short, "short", false, "measure for a shorter time, with wider spreads: each alone about a minute, all under ten")
	flags.StringVar(&o.json, "json", "", "also write the figures to `FILE`")
	flags.StringVar(&o.markdown, "markdown", "", "also write the tables to `FILE`, in Markdown")
	flags.StringVar(&o.cpu, "cpuprofile", "", "also write a profile of this process to `FILE`")
	flags.StringVar(&o.plot, "plot", "", "also draw the charts into `DIR`, as SVG and PNG")
	return root
}
