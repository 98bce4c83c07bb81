package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := execute(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// options are what all commands take.
type options struct {
	short bool   // finish within a minute
	json  string // file for the figures, empty for none
}

// execute runs one command line and writes its table and results to out.
func execute(ctx context.Context, args []string, out io.Writer) error {
	var o options
	root := newRoot(&o)
	root.AddCommand(writeCommand(&o), delayCommand(&o), catchupCommand(&o), confirmCommand(&o), idleCommand(&o), fanoutCommand(&o), lockCommand(&o),
		hitCommand(&o), ratioCommand(&o), fillCommand(&o), memoryCommand(&o), staleCommand(&o), tierCommand(&o), sessionCommand(&o))
	root.SetOut(out)
	root.SetArgs(doubleDashes(root, args))
	return root.ExecuteContext(ctx)
}

func newRoot(o *options) *cobra.Command {
	root := &cobra.Command{
		Use:   "bench",
		Short: "measure the library beside baselines",
		// An error in the middle of a measurement is no reason to explain the flags.
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.PersistentFlags().BoolVar(&o.short, "short", false, "finish within a minute, with wider spreads")
	root.PersistentFlags().StringVar(&o.json, "json", "", "also write the figures to `FILE`")
	return root
}
