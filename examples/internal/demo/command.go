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

// ParseFlags parses a command line that has only flags. The caller prints the error, except flag.ErrHelp: then ParseFlags
// has already printed the usage.
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

// BadFlags prints an error of ParseFlags, or of later checks of the flags, and returns the exit status.
func BadFlags(name string, err error, stderr io.Writer) int {
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(stderr, "%s: %v\n", name, err)
	return 2
}

// Play runs a story until it ends or Ctrl-C ends its context, and returns the exit status. An error after Ctrl-C counts as
// an interruption, unless it is verdict: the error of a story that ran to its end and failed.
func Play(name string, stderr io.Writer, verdict error, story func(context.Context) error) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second Ctrl-C ends the program without cleaning up
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
