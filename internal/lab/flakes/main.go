// Command flakes runs every test many times under the race detector, package by package, on a machine that is kept busy
// meanwhile, and writes what failed how often as JSON.
//
//	go run ./internal/lab/flakes
//	go run ./internal/lab/flakes -count 5 -load 0 -match '^bus'
//
// It covers all modules of the repository, and ends with an error if anything failed even once.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// spinVariable marks a process that only keeps a processor busy, and ends with its parent.
const spinVariable = "PGCOHERENCE_FLAKES_SPIN"

func main() {
	if os.Getenv(spinVariable) != "" {
		spin()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:])
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "flakes:", err)
		os.Exit(1)
	}
}

var busy atomic.Uint64

// spin computes until the parent closes standard input, or is gone.
func spin() {
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1)) // whatever it is, it is the end
		os.Exit(0)
	}()
	for n := uint64(0); ; n++ {
		busy.Store(n)
	}
}

// options are the flags.
type options struct {
	count, load int
	match, out  string
	timeout     time.Duration
	race        bool
}

// report is what came of all packages.
type report struct {
	Begun    time.Time `json:"begun"`
	Seconds  float64   `json:"seconds"`
	Count    int       `json:"count"`
	Load     int       `json:"load"`
	Race     bool      `json:"race"`
	Tests    int       `json:"tests"`
	Runs     int       `json:"runs"`
	Failures int       `json:"failures"`
	Packages []*pkg    `json:"packages"`
}

func run(ctx context.Context, args []string) error {
	var o options
	flags := flag.NewFlagSet("flakes", flag.ContinueOnError)
	flags.IntVar(&o.count, "count", 20, "how often each test runs")
	flags.IntVar(&o.load, "load", 8, "so many processes keep the processors busy")
	flags.StringVar(&o.match, "match", "", "only packages whose directory matches this expression")
	flags.StringVar(&o.out, "out", "bin/flakes.json", "the file of the report")
	flags.DurationVar(&o.timeout, "timeout", time.Hour, "of one package")
	flags.BoolVar(&o.race, "race", true, "run under the race detector")
	if err := flags.Parse(args); err != nil {
		return err
	}
	expression, err := regexp.Compile(o.match)
	if err != nil {
		return fmt.Errorf("-match: %w", err)
	}
	all, err := packages(ctx, expression)
	if err != nil {
		return err
	}

	quiet, err := keepBusy(o.load)
	if err != nil {
		return err
	}
	defer quiet()
	r := report{Begun: time.Now().UTC(), Count: o.count, Load: o.load, Race: o.race}
	for i, p := range all {
		if ctx.Err() != nil {
			break
		}
		fmt.Printf("[%d/%d] %s ", i+1, len(all), p.Directory)
		p.test(ctx, o)
		r.add(p)
		fmt.Printf("%d tests, %d runs, %d failures, %.0f s\n", len(p.Tests), p.Runs, p.Failures, p.Seconds)
		for _, name := range p.flaky() {
			fmt.Printf("    FLAKY %s: %d of %d\n", name, p.Tests[name].Failed, p.Tests[name].Runs)
		}
		if err := r.write(o.out); err != nil { // as far as it is: a run of hours may be ended
			return err
		}
	}
	fmt.Printf("RESULT flakes.tests %d\nRESULT flakes.runs %d\nRESULT flakes.failures %d\n", r.Tests, r.Runs, r.Failures)
	if r.Failures > 0 {
		return fmt.Errorf("%d failures", r.Failures)
	}
	return context.Cause(ctx)
}

func (r *report) add(p *pkg) {
	r.Packages = append(r.Packages, p)
	r.Tests += len(p.Tests)
	r.Runs += p.Runs
	r.Failures += p.Failures
	r.Seconds = time.Since(r.Begun).Seconds()
}

func (r *report) write(path string) error {
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // where programs are built
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644) //nolint:gosec // it holds figures, for everyone
}

// keepBusy starts processes that compute, until it is undone.
func keepBusy(n int) (undo func(), err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}

	var ends []func()
	undo = func() {
		for _, end := range ends {
			end()
		}
	}
	for i := range n {
		cmd := exec.Command(self) // ended by its standard input
		cmd.Env = append(os.Environ(), spinVariable+"="+strconv.Itoa(i+1), "GOMAXPROCS=2")
		in, err := cmd.StdinPipe()
		if err == nil {
			err = cmd.Start()
		}

		if err != nil {
			undo()
			return nil, errors.Join(errors.New("load"), err)
		}

		ends = append(ends, func() {
			_ = in.Close()
			_ = cmd.Wait() // it ends by the closing
		})
	}

	return undo, nil
}

// packages are those with tests, of all modules.
func packages(ctx context.Context, match *regexp.Regexp) ([]*pkg, error) {
	files, err := exec.CommandContext(ctx, "git", "-c", "safe.directory=*", "ls-files", "--cached", "--others", "--exclude-standard",
		"go.mod", "*/go.mod").Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files, in the repository's root: %w", err)
	}

	var all []*pkg
	for file := range strings.FieldsSeq(string(files)) {
		module := filepath.Dir(file)
		cmd := exec.CommandContext(ctx, "go", "list", "-f", "{{if or .TestGoFiles .XTestGoFiles}}{{.Dir}}{{end}}", "./...")
		cmd.Dir, cmd.Stderr = module, os.Stderr
		out, err := cmd.Output()
		if err != nil {
			return nil, fmt.Errorf("go list in %s: %w", module, err)
		}

		root, err := os.Getwd()
		if err != nil {
			return nil, err
		}

		for dir := range strings.FieldsSeq(string(out)) {
			name, err := filepath.Rel(root, dir)
			if err != nil {
				return nil, err
			}
			if match.MatchString(name) {
				all = append(all, &pkg{Directory: name, Tests: map[string]*test{}})
			}
		}
	}

	return all, nil
}
