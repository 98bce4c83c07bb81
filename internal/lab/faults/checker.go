package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pgcoherence/pgcoherence/cache"
)

// checkerConfig is what a pod that checks its own reads is told besides.
type checkerConfig struct {
	Board string // file of the board
	Slot  int    // of this pod
	Rest  int    // a reader rests for so many times as long as it reads
}

// checker reads a pod's cache from within, as the application would and as fast as it can, and holds every value against
// the board. A value that is the newest, which nearly all are, costs three loads from one cache line and one comparison.
type checker struct {
	pod   *pod
	cache *cache.Cache[itemKey, item]
	board *board
	cfg   checkerConfig
	quiet atomic.Bool // nobody reads any more
}

const (
	checkerReaders = 6                     // while some wait for loads the others read on
	checkerBurst   = 2048                  // reads between two rests
	checkerRest    = 50 * time.Millisecond // at the most
	// One read in so many is of any key. The others are of keys of which there are fewer than a cache behind which there is
	// a tier can hold: what is always missing would be all that the readers wait for.
	checkerAny = 1024
)

func newChecker(p *pod) (*checker, error) {
	b, err := openBoard(p.cfg.Check.Board, p.items.keys)
	if err != nil {
		return nil, err
	}
	return &checker{pod: p, cache: p.items.cache, board: b, cfg: *p.cfg.Check}, nil
}

// run reads until ctx ends.
func (c *checker) run(ctx context.Context) {
	var readers sync.WaitGroup
	defer readers.Wait()

	for range checkerReaders {
		readers.Go(func() {
			x := rand.Uint64() | 1
			for ctx.Err() == nil && !c.quiet.Load() {
				begun := time.Now()
				x = c.burst(ctx, x)
				// On a busy machine it has read for long, and leaves the more to the pod's other work.
				rest := time.Since(begun) * time.Duration(c.cfg.Rest)
				_ = pause(ctx, min(rest, checkerRest)) // ctx is looked at above
			}
		})
	}
}

// burst reads so many keys, by chance, and returns the state of the chance.
func (c *checker) burst(ctx context.Context, x uint64) uint64 {
	var sum boardTally
	keys := uint64(len(c.board.cells))
	often := max(1, keys*3/4)
	for range checkerBurst {
		x ^= x << 13 // Marsaglia's xorshift: a generator that costs less than the read
		x ^= x >> 7
		x ^= x << 17
		key := int(x % often)
		if x>>32%checkerAny == 0 {
			key = int(x % keys)
		}
		cell := &c.board.cells[key]
		due, confirmed := cell.due.Load(), cell.confirmed.Load()
		newest := cell.newest.Load() // the last: it is at least what the others are

		v, err := c.cache.Get(ctx, itemKey(key))
		switch {
		case err != nil:
			sum.Failed++
			if ctx.Err() != nil {
				return x
			}
			continue
		case v.Version < newest:
			c.older(&sum, key, v.Version, newest, due, confirmed)
		}
		sum.Reads++
	}
	c.count(sum)
	return x
}

// older judges a value that is not the newest.
func (c *checker) older(sum *boardTally, key int, version, newest, due, confirmed int64) {
	switch {
	case version < confirmed:
		sum.FalseConfirms++
	case version < due:
		sum.Beyond++
	default:
		sum.Within++
		return
	}
	c.board.violation(c.cfg.Slot, key, version, newest, due, confirmed)
}

func (c *checker) count(sum boardTally) {
	s := &c.board.slots[c.cfg.Slot]
	s.reads.Add(sum.Reads)
	s.within.Add(sum.Within)
	s.beyond.Add(sum.Beyond)
	s.falseConfirms.Add(sum.FalseConfirms)
	s.failed.Add(sum.Failed)
}
