package demo

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// ExitInterrupted is what shells report for a program ended by Ctrl-C.
const ExitInterrupted = 130

// ParseFlags parses a command line that has flags only. The caller prints the error, once; but for flag.ErrHelp, before
// which the usage has been printed.
func ParseFlags(f *flag.FlagSet, args []string, stderr io.Writer) error {
	f.SetOutput(io.Discard)
	err := f.Parse(args)
	switch {
	case err == nil && f.NArg() > 0:
		return fmt.Errorf("unexpected argument %q", f.Arg(0))
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprintf(stderr, "Usage of %s:\n", f.Name())
		f.SetOutput(stderr)
		f.PrintDefaults()
	}
	return err
}

// BadFlags is the exit status for an error of ParseFlags, or of what a program checks after it, which it prints.
func BadFlags(name string, err error, stderr io.Writer) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return 2
}

// Play plays a story until it ends or Ctrl-C ends its context, and answers the exit status. An error after Ctrl-C is
// because of it, whatever it says, unless it is the verdict: that of a story which was told to its end, and failed.
func Play(name string, stderr io.Writer, verdict error, story func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C does not wait for the cleaning up
	err := story(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil && !errors.Is(err, verdict):
		fmt.Fprintf(stderr, "%s: interrupted, everything is cleaned up\n", name)
		return ExitInterrupted
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return 1
}
