package lock

import (
	"context"
	"iter"
	"time"
)

// Watch tells who has a lease: now, and whenever that changes, until ctx or the loop over it ends. It looks every
// WatchInterval, and at once after Steal and when an election's leader changes; an owner of less than that in between
// may be missed. An error is told and does not end it. It runs in the goroutine that loops over it.
func (l *Locker) Watch(ctx context.Context, key string) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		if err := checkKey(key); err != nil {
			yield(Info{}, err)
			return
		}
		changed := l.c.watch(hashOf(key))
		defer l.c.unwatch(hashOf(key), changed)
		var last Info
		for first := true; ctx.Err() == nil && l.c.open() == nil; first = false {
			info, err := l.Inspect(ctx, key)
			switch {
			case ctx.Err() != nil:
				return
			case err != nil:
				if !yield(Info{}, err) {
					return
				}
			case first || info.Held != last.Held || info.Token != last.Token:
				if !yield(info, nil) {
					return
				}
				last = info
			}
			timer := time.NewTimer(jitter(l.c.cfg.WatchInterval))
			select {
			case <-ctx.Done():
			case <-changed:
			case <-timer.C:
			case <-l.c.closed:
			}
			timer.Stop()
		}
	}
}

func (c *core) watch(hash string) chan struct{} {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.watchers[hash] == nil {
		c.watchers[hash] = map[chan struct{}]struct{}{}
	}
	c.watchers[hash][ch] = struct{}{}
	return ch
}

func (c *core) unwatch(hash string, ch chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.watchers[hash], ch)
	if len(c.watchers[hash]) == 0 {
		delete(c.watchers, hash)
	}
}
