package status

import (
	"fmt"
	"sync"
	"time"

	"github.com/pgcoherence/pgcoherence/internal/hook"
)

const (
	keptPlaces = 4096             // about an hour's
	placeStep  = time.Second      // between two that are kept
	placeSlack = 90 * time.Second // an entry's time is known to the second, and readings may have paused
)

// places remember up to which transaction a pod had applied everything at what time: from which snapshot a cache's
// entry is.
type places struct {
	mu  sync.Mutex
	all []place // oldest first
}

type place struct {
	at    time.Time
	epoch string
	xmax  uint64
}

func (p place) String() string { return fmt.Sprintf("%d", p.xmax) }

// now returns where a bus is; ok is false if it has no position.
func placeOf(b Bus) (p place, ok bool) {
	source := hook.SourceOf(b)
	if source == nil {
		return p, false
	}
	epoch, at, ok := source.Position()
	return place{time.Now(), epoch, at.Xmax}, ok
}

// note remembers where the bus is.
func (p *places) note(b Bus) {
	now, ok := placeOf(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(p.all); !ok || n > 0 && now.at.Sub(p.all[n-1].at) < placeStep*9/10 {
		return
	}
	p.all = append(p.all[max(0, len(p.all)-keptPlaces+1):], now)
}

// before returns where the bus was at the latest at a time.
func (p *places) before(at time.Time) (found place, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, one := range p.all {
		if one.at.After(at) {
			break
		}
		found, ok = one, true
	}
	return found, ok && at.Sub(found.at) < placeSlack
}
