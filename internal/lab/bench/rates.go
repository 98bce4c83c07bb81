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

// reportCosts are the processor times of goalWriters on the first disk, ours first.
func (t rateTable) reportCosts(r *report, plan writePlan, variants []string) {
	for _, variant := range slices.Backward(variants) {
		for _, side := range []string{"server_us", "client_us"} {
			values, ok := t[rateKey(plan.Disks[0].name, plan.main(), variant)+"."+side]
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

// main is the number of writers that the goals are for.
func (p writePlan) main() int {
	if slices.Contains(p.Writers, goalWriters) {
		return goalWriters
	}
	return p.Writers[len(p.Writers)-1]
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

// report fills in table, figures, results and charts.
func (t rateTable) report(r *report, plan writePlan, variants []string) error {
	r.row("disk", "writers", "variant", "tx/s", "÷ bare", "÷ floor_lazy", "÷ notify", "server µs", "client µs")

	for _, d := range plan.Disks {
		for _, w := range plan.Writers {
			if err := t.reportRows(r, d.name, w, variants); err != nil {
				return err
			}
		}
	}

	t.reportCosts(r, plan, variants)

	for _, w := range slices.Backward(plan.Writers) {
		for _, goal := range goals {
			name := goal.name
			if w != plan.main() {
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

	r.chart(t.chart(plan, variants))
	r.chart(t.costChart(plan, variants))
	return nil
}

func (t rateTable) reportRows(r *report, disk string, writers int, variants []string) error {
	for _, variant := range variants {
		key := rateKey(disk, writers, variant)
		f := newFigure(key, "tx/s", t[key])
		r.add(f)

		cells := []any{disk, writers, variant, f.summary}
		for _, base := range []string{"bare", "floor_lazy", "notify"} {
			values, err := t.ratio(disk, writers, variant, base)
			if err != nil {
				return err
			}
			cells = append(cells, summarize(values))
		}

		for _, side := range []string{"server_us", "client_us"} {
			if values := t[key+"."+side]; len(values) > 0 {
				cells = append(cells, number(median(values)))
			} else {
				cells = append(cells, "–")
			}
		}

		r.row(cells...)
	}
	return nil
}

// titles are what the charts call the variants; those that nobody would use have none.
var titles = map[string]string{
	"ours": "ours", "trigger": "ours, by trigger", "notify": "NOTIFY in the tx", "outbox": "outbox, polled",
	"watermill": "watermill-sql", "redis": "Redis after commit", "bare": "the update alone",
}

func (t rateTable) chart(plan writePlan, variants []string) chart {
	c := chart{Name: "write", Title: "Transactions per second, divided by those of the update alone, by the time that a flush takes"}
	for i, d := range plan.Disks {
		p := panel{Kind: kindLines, Title: d.title(), X: "writers", LogX: true}
		if i == 0 {
			p.Y = "÷ the update alone"
		}

		for _, variant := range slices.Backward(variants) {
			if titles[variant] == "" || variant == "bare" {
				continue
			}

			l := series{Name: titles[variant]}
			for _, w := range plan.Writers {
				if values, err := t.ratio(d.name, w, variant, "bare"); err == nil {
					l.X, l.Y = append(l.X, float64(w)), append(l.Y, rounded4(median(values)))
				}
			}

			p.Lines = append(p.Lines, l)
		}

		c.Panels = append(c.Panels, p)
	}

	return c
}

func (t rateTable) costChart(plan writePlan, variants []string) chart {
	c := chart{Name: "write-cpu", Title: "Processor time of the servers for one commit, in microseconds"}
	for i, d := range plan.Disks {
		p := panel{Kind: kindLines, Title: d.title(), X: "writers", LogX: true}
		if i == 0 {
			p.Y = "µs"
		}

		for _, variant := range slices.Backward(variants) {
			if titles[variant] == "" {
				continue
			}

			l := series{Name: titles[variant]}
			for _, w := range plan.Writers {
				if values := t[rateKey(d.name, w, variant)+".server_us"]; len(values) > 0 {
					l.X, l.Y = append(l.X, float64(w)), append(l.Y, rounded4(median(values)))
				}
			}

			p.Lines = append(p.Lines, l)
		}

		c.Panels = append(c.Panels, p)
	}

	return c
}

func (d disk) title() string {
	if d.flush == 0 {
		return "local disk"
	}
	return fmt.Sprintf("flushes that take %d ms longer", d.flush.Milliseconds())
}
