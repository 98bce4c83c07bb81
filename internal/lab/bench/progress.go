package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/schollz/progressbar/v3"
)

// expected is about how long each measurement takes, in seconds, on two CPUs.
// It only decides how far the bar has come.
var expected = map[string]struct{ short, long int }{
	"write": {60, 420}, "delay": {60, 300}, "fanout": {40, 240}, "confirm": {25, 60}, "catchup": {50, 120}, "idle": {50, 120},
	"hit": {25, 90}, "ratio": {20, 120}, "fill": {15, 40}, "memory": {15, 40}, "stale": {70, 200}, "tier": {25, 90},
	"session": {60, 600}, "lock": {50, 240}, "growth": {40, 400},
}

// progress is a bar that moves with the time: each measurement has a share of it
// as long as it is expected to take, and the bar waits at the share's end for one
// that takes longer. A writer that is no terminal gets a line for each
// measurement instead.
type progress struct {
	out   io.Writer
	bar   *progressbar.ProgressBar // nil: no terminal
	names []string
	ends  []int // of the shares, in seconds
	quit  chan struct{}
	done  sync.WaitGroup

	mu    sync.Mutex
	at    int // the measurement that runs; -1 before the first
	begun time.Time
}

// startProgress shows a bar until stop is called.
func startProgress(out *os.File, names []string, short bool) *progress {
	p := &progress{out: out, names: names, quit: make(chan struct{}), at: -1}
	total := 0
	for _, name := range names {
		seconds := expected[name].long
		if short {
			seconds = expected[name].short
		}
		total += max(seconds, 1)
		p.ends = append(p.ends, total)
	}
	if info, err := out.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return p
	}

	p.bar = progressbar.NewOptions(total, progressbar.OptionSetWriter(out), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(30), progressbar.OptionSetPredictTime(true), progressbar.OptionSetElapsedTime(true))
	p.done.Go(p.move)
	return p
}

// begin says which measurement runs now.
func (p *progress) begin(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.at, p.begun = slices.Index(p.names, name), time.Now()
	title := fmt.Sprintf("%s (%d of %d)", name, p.at+1, len(p.names))
	if p.bar == nil {
		fmt.Fprintf(p.out, "bench: %s\n", title)
		return
	}
	p.bar.Describe(title)
}

// stop takes the bar away and waits for its goroutine.
func (p *progress) stop() {
	close(p.quit)
	p.done.Wait()
	if p.bar != nil {
		_ = p.bar.Finish() // there is nobody to show an error of the terminal to
	}
}

func (p *progress) move() {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-p.quit:
			return
		case <-tick.C:
			_ = p.bar.Set(p.seconds())
		}
	}
}

// seconds is how far the bar has come.
func (p *progress) seconds() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at < 0 {
		return 0
	}
	begin := 0
	if p.at > 0 {
		begin = p.ends[p.at-1]
	}
	return min(begin+int(time.Since(p.begun).Seconds()), p.ends[p.at]-1)
}
