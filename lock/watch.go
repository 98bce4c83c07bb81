package lock

import (
	"context"
	"iter"
	"time"
)

// Watch yields the state of a lease: now, and after every change, until ctx or the loop ends. It polls every
// WatchInterval, and at once after a Steal and a change of an election's leader. It may miss an owner between two
// polls. An error is yielded and does not end the loop. It runs in the goroutine of the loop.
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
