package lock

import (
	"context"
	"log/slog"
	"sync"
)

// LeaderCallbacks are the callbacks of [Election.RunCallbacks], in the form of client-go's package leaderelection.
// Each may be nil.
type LeaderCallbacks struct {
	// OnStartedLeading is called when this process is elected, in the goroutine of RunCallbacks. Its context ends
	// with that of RunCallbacks, when leadership is lost (cause: a *LostError) and after Resign (cause: ErrResigned).
	// It should return soon after that: leadership lasts until it has returned. If it returns earlier, leadership
	// continues.
	OnStartedLeading func(ctx context.Context, term Term)

	// OnStoppedLeading is called after each term, in the goroutine of RunCallbacks, when OnStartedLeading has
	// returned and its context has ended. The next leader may already be elected. It is called after a panic, too.
	OnStoppedLeading func()

	// OnNewLeader is called with the current leader: at first if there is one, and after every change, including
	// changes to this process. It is called in a goroutine of its own, one call at a time. If leaders change quickly,
	// it may be called only for the last one. A panic in it is recovered and logged.
	OnNewLeader func(leader Info)
}

// RunCallbacks is a candidate until ctx ends, like Run, and calls the callbacks. Unlike client-go it continues after
// a lost term, as a candidate. When ctx has ended and all callbacks have returned, it returns nil.
func (e *Election) RunCallbacks(ctx context.Context, callbacks LeaderCallbacks) error {
	ctx, cancel := context.WithCancel(ctx)
	var observing sync.WaitGroup
	defer observing.Wait()
	defer cancel()
	if callbacks.OnNewLeader != nil {
		observing.Go(func() { e.observe(ctx, callbacks.OnNewLeader) })
	}

	return e.Run(ctx, func(ctx context.Context, term Term) error {
		if callbacks.OnStoppedLeading != nil {
			defer callbacks.OnStoppedLeading()
		}
		if callbacks.OnStartedLeading != nil {
			callbacks.OnStartedLeading(ctx, term)
		}
		<-ctx.Done()
		return context.Cause(ctx)
	})
}

func (e *Election) observe(ctx context.Context, onNewLeader func(Info)) {
	last := int64(0)
	for info, err := range e.Observe(ctx) {
		if err == nil && info.Held && info.Token != last {
			last = info.Token
			e.notify(onNewLeader, info)
		}
	}
}

func (e *Election) notify(onNewLeader func(Info), info Info) {
	defer func() {
		if v := recover(); v != nil {
			e.locker.c.log.Error("OnNewLeader panicked", slog.Any("panic", v))
		}
	}()
	onNewLeader(info)
}
