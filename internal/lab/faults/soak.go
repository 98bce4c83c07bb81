package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// soakFlags are those of a soak.
type soakFlags struct {
	length   time.Duration // of all of it
	round    time.Duration // of one cluster's life
	seed     uint64        // of the first round; the others' follow from it. 0: by chance
	schedule string        // what is played instead of what a seed draws
	weaken   string        // a control, whose guard is off
	json     string        // file of the report
	minimise time.Duration // how long a schedule that failed is made smaller; 0: not at all
	rest     int
}

// soak plays rounds one after the other.
type soak struct {
	soakFlags
	options  options
	redis    bool
	weakened *control // nil: all guards are on
	faults   []soakFault
	out      io.Writer
	detail   io.Writer
	bar      *progressbar.ProgressBar

	mu      sync.Mutex
	board   *board     // of the round that is played
	past    boardTally // of those before
	doing   string
	rounds  []round
	minimal *minimalSchedule
}

// minimalSchedule is what is left of a schedule under which a promise was broken.
type minimalSchedule struct {
	Seed     uint64 `json:"seed"`
	Schedule string `json:"schedule"`
	Runs     int    `json:"runs"`
	Failed   int    `json:"failed"`
}

func newSoak(o options, out, detail io.Writer) (*soak, error) {
	k := &soak{soakFlags: o.soak, options: o, redis: missingRedis(o) == "", out: out, detail: detail}
	k.options.tier = false // a soak has one where it can
	if o.seconds == defaultDuration.Seconds() {
		k.options.duration = soakFaultDuration
	}
	if !k.redis {
		fmt.Fprintln(detail, "*** NOT TESTED: the soak has no redis-server: no tier, and none of its faults")
	}

	k.faults = soakFaults(k.redis)
	if k.weaken != "" {
		i := slices.IndexFunc(controls(), func(c control) bool { return c.name == k.weaken })
		if i < 0 {
			return nil, fmt.Errorf("--weaken: no control %q: see --list", k.weaken)
		}
		k.weakened = &controls()[i]
	}

	if k.round < time.Second || k.length < time.Second {
		return nil, fmt.Errorf("--soak %v, --round %v: less than a second", k.length, k.round)
	}
	if k.rest < 0 {
		return nil, fmt.Errorf("--rest: %d is less than 0", k.rest)
	}
	if k.seed == 0 {
		k.seed = rand.Uint64()>>1 | 1
	}

	return k, nil
}

// run plays rounds until the time is over, or a promise was broken.
func (k *soak) run(ctx context.Context) error {
	fixed := schedule(nil)
	if k.schedule != "" {
		var err error
		if fixed, err = parseSchedule(k.schedule, k.faults); err != nil {
			return err
		}
	}
	begun := time.Now()
	fmt.Fprintf(k.out, "soak: %v, rounds of %v, --seed %d\n", k.length, k.round, k.seed)
	stop := k.progress(begun)
	defer stop()
	for number := 1; ctx.Err() == nil && (number == 1 || time.Since(begun) < k.length); number++ {
		seed := k.seed + uint64(number) - 1
		next := k.drawn(seed, min(k.round, k.length-time.Since(begun)))
		if fixed != nil {
			next = replay(fixed)
		}
		r := k.play(ctx, number, seed, next)
		if ctx.Err() != nil {
			break
		}
		k.rounds = append(k.rounds, r)
		k.say(r)
		if r.violations() > 0 || r.Error != "" {
			break
		}
	}
	stop()

	last := k.rounds[max(0, len(k.rounds)-1):]
	if ctx.Err() == nil && len(last) == 1 && last[0].violations() > 0 && k.minimise > 0 {
		k.shrink(ctx, last[0])
	}
	return errors.Join(k.report(begun), context.Cause(ctx), k.verdict())
}

// drawn gives steps by chance for so long.
func (k *soak) drawn(seed uint64, length time.Duration) func(time.Duration) (step, bool) {
	c := newChance(seed, k.faults)
	return func(elapsed time.Duration) (step, bool) {
		if elapsed >= length {
			return nil, false
		}
		return c.next(), true
	}
}

// replay gives the steps of a schedule.
func replay(s schedule) func(time.Duration) (step, bool) {
	i := -1
	return func(time.Duration) (step, bool) {
		if i++; i >= len(s) {
			return nil, false
		}
		return s[i], true
	}
}

// quietly is how long a round without any fault lasts when a schedule is made smaller.
const quietly = 5 * time.Second

// shrinkTries is how often a smaller schedule is played before it counts as harmless: what races fails now and then.
const shrinkTries = 2

// shrink makes the schedule of a round that failed smaller, as long as what is left fails as well.
func (k *soak) shrink(ctx context.Context, bad round) {
	fmt.Fprintf(k.detail, "making the schedule smaller, for %v at the most\n", k.minimise)
	deadline := time.Now().Add(k.minimise)
	m := &minimalSchedule{Seed: bad.Seed}
	kept := minimise(bad.played.places(), func(some []place) (failed, stop bool) {
		part := bad.played.only(some)
		for range shrinkTries {
			if ctx.Err() != nil || time.Now().After(deadline) {
				return false, true
			}

			r := k.play(ctx, 0, bad.Seed, k.atLeast(replay(part)))
			m.Runs++
			verdict := "holds"
			if failed = r.violations() > 0; failed {
				m.Failed++
				verdict = "fails"
			}

			fmt.Fprintf(k.detail, "    %s: %q\n", verdict, part)

			if failed {
				return true, false
			}
		}

		return false, false
	})
	m.Schedule = bad.played.only(kept).String()
	k.minimal = m
	if len(kept) == 0 {
		fmt.Fprintf(k.out, "MINIMAL no fault is needed (%d runs)\n", m.Runs)
		return
	}

	fmt.Fprintf(k.out, "MINIMAL --seed %d --schedule '%s' (%d runs)\n", m.Seed, m.Schedule, m.Runs)
}

// atLeast lets a round last for a while even if nothing happens in it.
func (k *soak) atLeast(next func(time.Duration) (step, bool)) func(time.Duration) (step, bool) {
	calm := soakFault{name: "none", inject: func(ctx context.Context, _ *scene) error { return pause(ctx, quietly) }}
	given := false
	return func(elapsed time.Duration) (step, bool) {
		st, ok := next(elapsed)
		if !ok && !given {
			st, ok = step{{fault: calm}}, true
		}
		given = true
		return st, ok
	}
}

// say prints a round.
func (k *soak) say(r round) {
	k.clear()
	verdict := "ok"
	if r.Error != "" || r.violations() > 0 {
		verdict = "FAILED"
	}

	var sessions int64
	for _, n := range r.Sessions {
		sessions += n.Found
	}

	fmt.Fprintf(k.out, "round %d, seed %d: %d faults, %d pairs; %d reads, %d stale within, %d beyond, %d lost, %d false confirms; "+
		"%d session answers, %d wrong; %d lease operations, %d double writes, %d overlaps; %.0f s  %s\n",
		r.Number, r.Seed, r.Faults, r.Pairs, r.Caches.Reads, r.Caches.Within, r.Caches.Beyond+r.Outside.Beyond, r.Lost,
		r.Caches.FalseConfirms+r.Outside.FalseConfirms, r.SessionAnswers, sessions, r.LeaseOperations, r.DoubleWrites, r.Overlaps,
		r.Seconds, verdict)

	for _, what := range r.Cut {
		fmt.Fprintf(k.detail, "    cut short: %s\n", what)
	}

	for _, what := range r.Proofs {
		fmt.Fprintf(k.out, "    VIOLATION: %s\n", what)
	}

	if r.Error != "" {
		fmt.Fprintf(k.out, "    ERROR: %s\n", r.Error)
	}
	if verdict != "ok" {
		fmt.Fprintf(k.out, "    replay: --seed %d --schedule '%s'\n", r.Seed, r.Schedule)
	}
}

// verdict is an error unless all rounds passed and something was checked.
func (k *soak) verdict() error {
	sum := k.sum()
	switch last := k.rounds[max(0, len(k.rounds)-1):]; {
	case len(last) == 0:
		return errors.New("soak: no round was played to its end")
	case sum.violations() > 0:
		return fmt.Errorf("soak: %d promises broken", sum.violations())
	case last[0].Error != "":
		return fmt.Errorf("soak: %s", last[0].Error)
	case sum.Caches.Reads == 0 || sum.SessionAnswers == 0 || sum.LeaseOperations == 0:
		return errors.New("soak: nothing was checked")
	}
	return nil
}

func (k *soak) sum() (sum counts) {
	for _, r := range k.rounds {
		sum.add(r.counts)
	}
	return sum
}

// soakReport is what a soak leaves for machines.
type soakReport struct {
	Begun      time.Time        `json:"begun"`
	Seconds    float64          `json:"seconds"`
	Seed       uint64           `json:"seed"`
	Redis      bool             `json:"redis"`
	Weakened   string           `json:"weakened,omitempty"`
	Faults     map[string]int   `json:"faults"`
	Violations int64            `json:"violations"`
	Total      counts           `json:"total"`
	Bounds     []soakBound      `json:"bounds"`
	Minimal    *minimalSchedule `json:"minimal,omitempty"`
	Rounds     []round          `json:"rounds"`
}

// soakBound is how seldom something goes wrong, by what was seen.
type soakBound struct {
	Of         string  `json:"of"`
	Checked    int64   `json:"checked"`
	Wrong      int64   `json:"wrong"`
	AtMost     float64 `json:"share_at_most"`
	Confidence float64 `json:"confidence"`
	Nines      float64 `json:"nines"`
}

func boundOf(what string, wrong, checked int64) soakBound {
	share := upperBound(wrong, checked)
	return soakBound{what, checked, wrong, share, confidence, nines(share)}
}

// bounds are those of a soak. Reads of one key between two writes are not independent of each other: what is said of writes
// is the careful figure.
func (c *counts) bounds() []soakBound {
	ended, back := c.Sessions["in beyond"], c.Sessions["back to life"]
	return []soakBound{
		boundOf("reads", c.Caches.Beyond+c.Caches.FalseConfirms, c.Caches.Reads),
		boundOf("writes", c.Caches.Beyond+c.Caches.FalseConfirms+c.Lost, c.Writes),
		boundOf("confirms", c.Caches.FalseConfirms+c.Outside.FalseConfirms, c.Confirms),
		boundOf("answers about ended sessions", ended.Found+back.Found, ended.Of+back.Of),
		boundOf("guarded writes", c.DoubleWrites, c.GuardedWrites),
	}
}

// report prints the sums and writes the file.
func (k *soak) report(begun time.Time) error {
	sum := k.sum()
	all := soakReport{
		Begun: begun.UTC(), Seconds: time.Since(begun).Seconds(), Seed: k.seed, Redis: k.redis, Weakened: k.weaken,
		Faults: map[string]int{}, Violations: sum.violations(), Total: sum, Bounds: sum.bounds(), Minimal: k.minimal, Rounds: k.rounds,
	}
	for _, r := range k.rounds {
		for name, n := range r.brought {
			all.Faults[name] += n
		}
	}

	for _, b := range all.Bounds {
		fmt.Fprintf(k.out, "%d %s, %d wrong: with %.0f %% confidence at most %.2g of them are, %.1f nines\n",
			b.Checked, b.Of, b.Wrong, 100*b.Confidence, b.AtMost, b.Nines)
	}

	fmt.Fprintf(k.out, "RESULT soak.faults %d\nRESULT soak.reads %d\nRESULT soak.nines %.1f\nRESULT soak.violations %d\n",
		sumOf(all.Faults), sum.Caches.Reads, all.Bounds[0].Nines, all.Violations)

	if k.json == "" {
		return nil
	}

	text, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}

	return os.WriteFile(k.json, append(text, '\n'), 0o644) //nolint:gosec // it holds figures, for everyone
}

func sumOf(all map[string]int) (n int) {
	for _, i := range all {
		n += i
	}
	return n
}

// progress shows how far it is on a terminal, until it is stopped.
func (k *soak) progress(begun time.Time) (stop func()) {
	f, ok := k.detail.(*os.File)
	if !ok || !isatty.IsTerminal(f.Fd()) {
		return func() {}
	}

	k.bar = progressbar.NewOptions64(int64(k.length.Seconds()), progressbar.OptionSetWriter(f), progressbar.OptionSetWidth(20),
		progressbar.OptionClearOnFinish(), progressbar.OptionSetPredictTime(true), progressbar.OptionSetDescription("soak"))
	ctx, cancel := context.WithCancel(context.Background())
	var shower sync.WaitGroup
	shower.Go(func() {
		for pause(ctx, time.Second) == nil {
			k.mu.Lock()
			sum, doing := k.past, k.doing
			if k.board != nil {
				sum.add(k.board.tally())
			}

			k.mu.Unlock()
			k.bar.Describe(fmt.Sprintf("%.2g reads, %d wrong, %s", float64(sum.Reads), sum.Beyond+sum.FalseConfirms, doing))
			_ = k.bar.Set64(min(int64(time.Since(begun).Seconds()), int64(k.length.Seconds()))) // a terminal that is gone
		}
	})

	return sync.OnceFunc(func() {
		cancel()
		shower.Wait()
		_ = k.bar.Finish() // as above
	})
}

// clear takes the bar away for a line.
func (k *soak) clear() {
	if k.bar != nil {
		_ = k.bar.Clear() // a terminal that is gone
	}
}

func (k *soak) watching(b *board) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.board = b
}

func (k *soak) watched(t boardTally) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.board, k.doing = nil, ""
	k.past.add(t)
}

func (k *soak) striking(st step) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.doing = strings.ReplaceAll(st.String(), "+", " and ")
}
