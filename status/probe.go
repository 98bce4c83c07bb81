package status

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/bus"
)

// probeTimeout bounds one reading of the pods and the tiers.
const probeTimeout = time.Second

// sight is what one reading brought.
type sight struct {
	pods  []Pod
	err   error           // of reading the pods; pods are then those of the last reading
	tiers map[string]ping // by topic
}

type ping struct {
	asked bool
	err   error
	took  time.Duration
}

// probe reads what this pod does not know by itself: the list of pods, with one query, and whether the tiers answer.
// Whoever asks within the interval gets the same answer, and those who ask at the same time wait for the same reading.
type probe struct {
	list     func(context.Context, time.Duration) (bus.Cluster, error) // nil: the bus knows of no others
	keep     time.Duration                                             // for how long a pod that is gone is listed
	tiers    map[string]Tier
	interval time.Duration
	log      *slog.Logger

	fleet fleet

	mu      sync.Mutex
	at      time.Time // of the last reading
	last    sight
	reading chan struct{} // closed when the reading under way is done; nil: none is
}

func newProbe(b Bus, c *Config) *probe {
	p := &probe{tiers: c.Tiers, interval: c.Interval, keep: c.KeepLost, log: c.Logger, fleet: fleet{self: idOf(b), lostAfter: c.LostAfter}}
	if lister, ok := b.(interface {
		Cluster(ctx context.Context, within time.Duration) (bus.Cluster, error)
	}); ok {
		p.list = lister.Cluster
	}
	return p
}

// idOf is this pod's id among the pods; empty if the bus knows of no others.
func idOf(b Bus) string {
	if known, ok := b.(interface{ ID() string }); ok {
		return known.ID()
	}
	return ""
}

// look returns a reading that is at most nine tenths of an interval old: who asks once per interval causes one each.
func (p *probe) look(ctx context.Context) sight {
	for {
		p.mu.Lock()
		if seen := p.last; !p.at.IsZero() && time.Since(p.at) < p.interval*9/10 {
			p.mu.Unlock()
			return seen
		}

		under := p.reading
		if under == nil {
			under = make(chan struct{})
			p.reading = under
			p.mu.Unlock()
			return p.read(ctx, under)
		}

		p.mu.Unlock()

		select {
		case <-under:
		case <-ctx.Done():
			return sight{err: ctx.Err()}
		}
	}
}

// read asks, for all who wait: so not with the context of the one who came first.
func (p *probe) read(ctx context.Context, done chan struct{}) sight {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
	defer cancel()

	tiers := p.pingAll(ctx)
	var cluster bus.Cluster
	var err error
	if p.list != nil {
		cluster, err = p.list(ctx, p.keep)
	}
	if err != nil {
		p.log.WarnContext(ctx, "status: pods could not be read", slog.Any("error", err))
	}

	found := tiers()
	p.mu.Lock()
	defer p.mu.Unlock()

	now := time.Now()
	seen := sight{err: err, tiers: found}
	if err == nil {
		seen.pods = p.fleet.list(cluster)
	} else {
		seen.pods = slices.Clone(p.last.pods)
		for i := range seen.pods {
			seen.pods[i].BeatAgeSeconds += now.Sub(p.at).Seconds()
		}
	}

	p.at, p.last, p.reading = now, seen, nil
	close(done)
	return seen
}

// tiersOnly asks the tiers and leaves the pods out: a caller from another pod has the list.
func (p *probe) tiersOnly(ctx context.Context) sight {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return sight{tiers: p.pingAll(ctx)()}
}

// pingAll pings all tiers at the same time; calling what it returns waits for them.
func (p *probe) pingAll(ctx context.Context) (wait func() map[string]ping) {
	var wg sync.WaitGroup
	var mu sync.Mutex
	pings := make(map[string]ping, len(p.tiers))
	for topic, tier := range p.tiers {
		wg.Go(func() {
			begin := time.Now()
			err := tier.Ping(ctx)
			mu.Lock()
			defer mu.Unlock()
			pings[topic] = ping{asked: true, err: err, took: time.Since(begin)}
		})
	}

	return func() map[string]ping {
		wg.Wait()
		return pings
	}
}
