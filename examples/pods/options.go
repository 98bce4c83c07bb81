package main

import (
	"flag"
	"fmt"
	"io"

	"github.com/pgcoherence/pgcoherence/examples/internal/demo"
)

const (
	minPods = 2  // a single pod has no other to notify
	maxPods = 16 // each has up to eight connections to the database
)

// options is the parsed command line.
type options struct {
	pods    int
	once    bool
	verbose bool
	podLog  io.Writer // where the pods' logs go
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	f := flag.NewFlagSet("pods", flag.ContinueOnError)
	f.IntVar(&o.pods, "pods", 3, fmt.Sprintf("how many pods to start, %d to %d", minPods, maxPods))
	f.BoolVar(&o.once, "once", false, "exit after the story: status 0 only if every check held")
	f.BoolVar(&o.verbose, "v", false, "show the pods' logs on standard error")
	err := demo.ParseFlags(f, args, stderr)
	if err == nil && (o.pods < minPods || o.pods > maxPods) {
		err = fmt.Errorf("-pods %d: want %d to %d", o.pods, minPods, maxPods)
	}
	return o, err
}
