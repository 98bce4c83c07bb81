package main

import (
	"fmt"
	"slices"
	"strconv"
	"time"
)

// rateTable holds the transactions per second of every round: by disk, number
// of writers and variant.
type rateTable map[string][]float64

func rateKey(disk string, writers int, variant string) string {
	return fmt.Sprintf("write.%s.%d.%s", disk, writers, variant)
}

func (t rateTable) add(disk string, writers int, variant string, rate float64) {
	key := rateKey(disk, writers, variant)
	t[key] = append(t[key], rate)
}

// addCost adds the processor time of a commit, in microseconds.
func (t rateTable) addCost(disk string, writers int, variant string, each work) {
	for side, d := range map[string]time.Duration{"server_us": each.server, "client_us": each.client} {
		key := rateKey(disk, writers, variant) + "." + side
		t[key] = append(t[key], float64(d)/float64(time.Microsecond))
	}
}

// reportCosts are the processor times of the most writers on the first disk.
func (t rateTable) reportCosts(r *report, writers int) {
	for _, variant := range []string{"ours", "floor", "floor_lazy", "bare"} {
		for _, side := range []string{"server_us", "client_us"} {
			values, ok := t[rateKey(disks[0].name, writers, variant)+"."+side]
			if !ok {
				continue
			}
			name := "write." + side
			if variant != "ours" {
				name += "." + variant
			}
			r.add(newFigure(name, "µs/commit", values))
			r.result(name, median(values))
		}
	}
}

// ratio compares two variants round by round.
func (t rateTable) ratio(disk string, writers int, variant, base string) ([]float64, error) {
	out, err := ratios(t[rateKey(disk, writers, variant)], t[rateKey(disk, writers, base)])
	if err != nil {
		return nil, fmt.Errorf("%s with %d writers: %s to %s: %w", disk, writers, variant, base, err)
	}
	return out, nil
}

// goals are the results: ours divided by a base on a disk.
var goals = []struct{ name, disk, base string }{
	{"write.ratio.ssd", "ssd", "bare"},
	{"write.ratio.2ms", "2ms", "bare"},
	{"write.ratio.floor", "ssd", "floor"},
	{"write.ratio.floor_lazy", "ssd", "floor_lazy"},
	{"write.vs_notify.2ms", "2ms", "notify"},
}

// report fills in table, figures and results. The most writers stand for the
// whole and have the plain names; fewer have their number behind.
func (t rateTable) report(r *report, writers []int) error {
	r.row("disk", "writers", "variant", "tx/s", "÷ bare", "÷ floor", "÷ floor_lazy", "÷ notify")
	for _, d := range disks {
		for _, w := range writers {
			if err := t.reportRows(r, d.name, w); err != nil {
				return err
			}
		}
	}
	t.reportCosts(r, writers[len(writers)-1])
	for _, w := range slices.Backward(writers) {
		for _, goal := range goals {
			name := goal.name
			if w != writers[len(writers)-1] {
				name += "." + strconv.Itoa(w)
			}
			values, err := t.ratio(goal.disk, w, "ours", goal.base)
			if err != nil {
				return err
			}
			r.add(newFigure(name, "ratio", values))
			r.result(name, median(values))
		}
	}
	return nil
}

func (t rateTable) reportRows(r *report, disk string, writers int) error {
	for _, variant := range []string{"bare", "notify", "floor", "floor_lazy", "ours"} {
		key := rateKey(disk, writers, variant)
		f := newFigure(key, "tx/s", t[key])
		r.add(f)
		cells := []any{disk, writers, variant, f.summary}
		for _, base := range []string{"bare", "floor", "floor_lazy", "notify"} {
			values, err := t.ratio(disk, writers, variant, base)
			if err != nil {
				return err
			}
			cells = append(cells, summarize(values))
		}
		r.row(cells...)
	}
	return nil
}
