package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/lab/redistest"
)

// curvePlan is how much the command delay measures of many pods.
type curvePlan struct {
	Pods  []int
	Rates []int         // events per second
	Slot  time.Duration // of one way with one number of pods at one rate
	Lead  time.Duration
}

// connectionsOf is how many connections a pod of each way keeps open, to Postgres or to Redis.
var connectionsOf = map[string]int{"bus": 2, "trigger": 2, "pgxlisten": 1, "pq": 1, "redis": 1, "tracking": 1, "poll": 1}

// curve is what one way comes to with one number of pods, at one rate.
type curvePoint struct {
	pods, rate int
	delays     []float64
	servers    float64 // processors
	clients    float64
	notifies   float64 // per second
}

// measureCurve adds how all ways do with more and more pods. Pods are goroutines
// of this process, each with connections of its own.
func measureCurve(ctx context.Context, r *report, both *pair, plan curvePlan) (err error) {
	cpu, err := both.ours.processor(ctx)
	if err != nil {
		r.Counts["curve left out"] = err.Error()
		return nil
	}
	redis, err := redistest.Start(ctx, nil)
	switch {
	case errors.Is(err, redistest.ErrUnavailable):
		r.Counts["redis left out"] = err.Error()
	case err != nil:
		return err
	default:
		defer func() { err = errors.Join(err, redis.Close()) }()
	}
	pool, err := both.ours.pool(ctx, fanoutWriters, nil)
	if err != nil {
		return err
	}
	defer pool.Close()
	rawPool, err := both.raw.pool(ctx, fanoutWriters, nil)
	if err != nil {
		return err
	}
	defer rawPool.Close()

	watched := &fanTrigger{fanBus{pool: pool}}
	if err := watched.prepare(ctx); err != nil {
		return err
	}
	told := inTxNotify{pool: rawPool}
	fans := []fan{
		&fanBus{pool: pool}, watched, &fanPgxlisten{inTxNotify: told, connect: both.raw.connect},
		&fanPQ{inTxNotify: told, dsn: both.raw.postgres.DSN(both.raw.database)}, &fanPoll{pool: rawPool},
	}
	if redis != nil {
		sent := throughRedis{pool: rawPool, redis: redis}
		fans = append(fans, &fanRedis{throughRedis: sent}, &fanTracking{throughRedis: sent})
	}
	found := map[string][]curvePoint{}
	for _, pods := range plan.Pods {
		reason, err := both.ours.room(ctx, fanoutConnections(pods))
		if err != nil {
			return err
		}
		if reason != "" {
			r.Counts[strconv.Itoa(pods)+" pods left out"] = reason
			continue
		}
		for _, rate := range plan.Rates {
			f := fanout{plan: fanoutPlan{Rate: rate, Lead: plan.Lead}, report: &report{Counts: map[string]any{}}, cpu: cpu, fans: fans}
			for _, way := range fans {
				var o fanned
				err := f.slot(ctx, way, fanoutPoint{Pods: pods, Slot: plan.Slot}, false, &o)
				if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil { // so many events at so many pods are too much for the machine
					r.Counts[fmt.Sprintf("%s with %d pods and %d events/s left out", way.title(), pods, rate)] = err.Error()
					continue
				}
				if err != nil {
					return fmt.Errorf("%s, %d pods, %d events/s: %w", way.title(), pods, rate, err)
				}
				seconds := o.took.Seconds()
				found[way.name()] = append(found[way.name()], curvePoint{
					pods: pods, rate: rate, delays: o.delays, servers: o.worked.server.Seconds() / seconds,
					clients: o.worked.client.Seconds() / seconds, notifies: float64(o.notified) / seconds,
				})
			}
		}
	}
	reportCurve(r, fans, found)
	return nil
}

func reportCurve(r *report, fans []fan, found map[string][]curvePoint) {
	r.row()
	r.row("ms from commit to the last pod", "pods", "events/s", "p50", "p99", "max", "server CPUs", "client CPUs", "NOTIFY/s", "connections")

	for _, way := range fans {
		for _, p := range found[way.name()] {
			r.row(way.title(), p.pods, p.rate, number(percentile(p.delays, 50)), number(percentile(p.delays, 99)), number(percentile(p.delays, 100)),
				number(p.servers), number(p.clients), number(p.notifies), connectionsOf[way.name()]*p.pods)
			for _, part := range []float64{50, 99, 100} {
				r.add(newFigure(fmt.Sprintf("delay.%s.%d.%d.p%g_ms", way.name(), p.pods, p.rate, part), "ms", []float64{percentile(p.delays, part)}))
			}
			r.add(newFigure(fmt.Sprintf("delay.%s.%d.%d.server_cpus", way.name(), p.pods, p.rate), "processors", []float64{p.servers}))
		}
	}

	m := fitModel(found["bus"])
	m.report(r, "bus", found["bus"])
	theirs := fitModel(found["pgxlisten"])
	theirs.report(r, "pgxlisten", found["pgxlisten"])
	r.chart(cdfChart(fans, found))
	r.chart(podsChart(fans, found, m))
}

// curveTitle calls the library what other charts call it.
func curveTitle(f fan) string {
	if f.name() == "bus" {
		return "ours"
	}
	return f.title()
}

// cdfChart is of the smallest cluster, at the middle rate.
func cdfChart(fans []fan, found map[string][]curvePoint) chart {
	p := panel{Kind: kindSteps, X: "ms from commit until the last pod has dropped the key", Y: "% of events", LogX: true}
	title := ""
	for _, way := range fans {
		points := found[way.name()]
		if len(points) == 0 {
			continue
		}

		first, rates := points[0], 0
		for _, one := range points {
			if one.pods == first.pods {
				rates++
			}
		}

		middle := points[rates/2]
		title = fmt.Sprintf("How long events take to reach the last of %d pods, at %d events a second", middle.pods, middle.rate)
		p.Lines = append(p.Lines, cdf(curveTitle(way), middle.delays))
	}

	return chart{Name: "delay", Title: title, Panels: []panel{p}}
}

// podsChart is of the middle rate: the delay, and the servers' processors.
func podsChart(fans []fan, found map[string][]curvePoint, m model) chart {
	rate := 0
	if points := found["bus"]; len(points) > 0 {
		rate = points[len(points)/2].rate
	}

	late := panel{Kind: kindLines, Title: "99th percentile of the delay, ms", X: "pods", LogX: true, LogY: true}
	cost := panel{Kind: kindLines, Title: "processors of the servers", X: "pods", LogX: true, LogY: true}
	for _, way := range fans {
		d, c := series{Name: curveTitle(way)}, series{Name: curveTitle(way)}
		for _, p := range found[way.name()] {
			if p.rate != rate {
				continue
			}
			d.X, d.Y = append(d.X, float64(p.pods)), append(d.Y, rounded4(percentile(p.delays, 99)))
			c.X, c.Y = append(c.X, float64(p.pods)), append(c.Y, rounded4(p.servers))
		}

		late.Lines, cost.Lines = append(late.Lines, d), append(cost.Lines, c)
	}

	fitted := series{Name: "ours, fitted", Dashed: true}
	for _, pods := range []float64{3, 10, 50, 200, 500, 1000} {
		fitted.X, fitted.Y = append(fitted.X, pods), append(fitted.Y, rounded4(m.processors(pods, float64(rate))))
	}

	cost.Lines = append(cost.Lines, fitted)
	return chart{Name: "delay-pods", Title: fmt.Sprintf("More pods, at %d events a second of all together", rate), Panels: []panel{late, cost}}
}
