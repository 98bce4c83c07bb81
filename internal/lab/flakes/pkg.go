package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"time"
)

// pkg is a package and what came of its tests.
type pkg struct {
	Directory string           `json:"directory"`
	Seconds   float64          `json:"seconds"`
	Runs      int              `json:"runs"`
	Failures  int              `json:"failures"`
	Error     string           `json:"error,omitempty"` // of the package as a whole: it does not build, or ended early
	Tests     map[string]*test `json:"tests"`
}

// test is one test, or a part of one.
type test struct {
	Runs    int     `json:"runs"`
	Failed  int     `json:"failed,omitempty"`
	Skipped int     `json:"skipped,omitempty"`
	Slowest float64 `json:"slowest_seconds"`
	Output  string  `json:"output,omitempty"` // of the first failure
}

// event is one line of go test -json.
type event struct {
	Action, Test, Output string
	Elapsed              float64
}

// outputLimit is how much of a failure's output is kept.
const outputLimit = 20_000

// test runs the package's tests and counts.
func (p *pkg) test(ctx context.Context, o options) {
	begun := time.Now()
	defer func() { p.Seconds = time.Since(begun).Seconds() }()

	args := []string{"test", "-json", "-count=" + strconv.Itoa(o.count), "-timeout=" + o.timeout.String()}
	if o.race {
		args = append(args, "-race")
	}

	cmd := exec.CommandContext(ctx, "go", append(args, ".")...)
	cmd.Dir = p.Directory
	out, err := cmd.StdoutPipe()
	if err == nil {
		cmd.Stderr = cmd.Stdout
		err = cmd.Start()
	}

	if err != nil {
		p.fail(err.Error())
		return
	}

	rest := p.read(out)
	if err := cmd.Wait(); err != nil && p.Failures == 0 {
		p.fail(err.Error() + "\n" + rest)
	}
}

func (p *pkg) fail(what string) {
	p.Failures++
	p.Error = what[:min(len(what), outputLimit)]
}

// read counts what the tests do, and returns the end of what belongs to none.
func (p *pkg) read(out io.Reader) (rest string) {
	said := map[string]*strings.Builder{} // by those that run
	lines := bufio.NewScanner(out)
	lines.Buffer(nil, 16<<20)

	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			rest += lines.Text() + "\n" // the compiler's
			continue
		}

		if e.Test == "" {
			rest += e.Output
			rest = rest[max(0, len(rest)-outputLimit):]
			continue
		}

		p.count(e, said)
	}

	return rest
}

func (p *pkg) count(e event, said map[string]*strings.Builder) {
	if p.Tests[e.Test] == nil {
		p.Tests[e.Test] = &test{}
	}

	t := p.Tests[e.Test]
	switch e.Action {
	case "run":
		said[e.Test] = &strings.Builder{}
	case "output":
		if b := said[e.Test]; b != nil && b.Len() < outputLimit {
			b.WriteString(e.Output)
		}
	case "pass", "fail", "skip":
		t.Runs++
		p.Runs++
		t.Slowest = max(t.Slowest, e.Elapsed)
		switch e.Action {
		case "skip":
			t.Skipped++
		case "fail":
			t.Failed++
			p.Failures++
			if b := said[e.Test]; b != nil && t.Output == "" {
				t.Output = b.String()
			}
		}

		delete(said, e.Test)
	}
}

// flaky are the tests that failed at least once.
func (p *pkg) flaky() (names []string) {
	for name, t := range p.Tests {
		if t.Failed > 0 {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
