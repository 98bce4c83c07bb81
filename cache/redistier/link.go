package redistier

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/redis/rueidis"
)

// rueidis' queue of one connection holds 1,024 commands, and a caller that finds it full waits whatever its context says. So it
// never gets full: at most so many are under way, and the connection is given up after so many in a row without a reply.
const (
	maxUnderWay  = 384
	maxAbandoned = 256
)

// link is a rueidis client that is connected.
type link struct {
	tier   *Tier
	client rueidis.Client
	dialer *dialer // nil: the client is the user's
	born   time.Time
	direct bool // commands may run on the caller's goroutine

	underWay  atomic.Int64
	abandoned atomic.Int64 // callers who left since the last reply
}

// one sends a command, and leaves when ctx ends.
func (l *link) one(ctx context.Context, command rueidis.Completed) (rueidis.RedisResult, error) {
	if l.direct {
		if err := l.enter(); err != nil {
			return rueidis.RedisResult{}, err
		}
		result := l.client.Do(ctx, command)
		l.leave(ctx, result)
		return result, nil
	}

	results, err := l.detached(ctx, func(ctx context.Context) []rueidis.RedisResult {
		return []rueidis.RedisResult{l.client.Do(ctx, command)}
	})
	if err != nil {
		return rueidis.RedisResult{}, err
	}
	return results[0], nil
}

// enter refuses to fill the queue.
func (l *link) enter() error {
	if l.underWay.Add(1) > maxUnderWay {
		l.underWay.Add(-1)
		return ErrBusy
	}
	return nil
}

// leave notes whether the connection still replies.
func (l *link) leave(ctx context.Context, result rueidis.RedisResult) {
	l.underWay.Add(-1)
	if result.NonRedisError() == nil {
		if l.abandoned.Load() != 0 {
			l.abandoned.Store(0)
		}
		return
	}
	if ctx.Err() != nil && l.abandoned.Add(1) >= maxAbandoned {
		l.dialer.hangUp()
	}
}

// detached has f called on a goroutine of the Tier. f is not to touch what the caller goes on using.
func (l *link) detached(ctx context.Context, f func(context.Context) []rueidis.RedisResult) ([]rueidis.RedisResult, error) {
	select {
	case l.tier.detached <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	done := make(chan []rueidis.RedisResult, 1)
	started := l.tier.start(func() {
		defer func() { <-l.tier.detached }()
		ctx, cancel := context.WithTimeout(l.tier.life, l.tier.cfg.DialTimeout+l.tier.cfg.ReadTimeout)
		defer cancel()
		done <- f(ctx)
	})
	if !started {
		<-l.tier.detached
		return nil, ErrClosed
	}

	select {
	case results := <-done:
		return results, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// close ends the link. With its connections gone the client has nothing to wait for.
func (l *link) close() {
	if l.dialer == nil {
		return
	}
	if l.client == nil {
		l.dialer.close()
		return
	}

	done := make(chan struct{})
	go func() {
		l.client.Close()
		close(done)
	}()
	l.dialer.close()
	<-done
}
