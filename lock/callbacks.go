package lock

import (
	"context"
	"log/slog"
	"sync"
)

// LeaderCallbacks are what an election calls, in the shape of client-go's package leaderelection. Each may be nil.
type LeaderCallbacks struct {
	// OnStartedLeading is called when this process is elected, in the goroutine of RunCallbacks. Its context ends with that
	// of RunCallbacks, when leadership is lost (cause: a *LostError) and after Resign (cause: ErrResigned). It should return
	// soon after that; leadership goes on until it has. If it returns before, leadership goes on all the same.
	OnStartedLeading func(ctx context.Context, term Term)

	// OnStoppedLeading is called after each term, in the goroutine of RunCallbacks, when OnStartedLeading has returned and
	// its context has ended. The next leader may have been elected by then. It is called after a panic too.
	OnStoppedLeading func()

	// OnNewLeader is called with whoever leads: at first, if somebody does, and whenever that changes, this process
	// included. It has a goroutine of its own and is never called twice at once; a leader who follows quickly on another
	// may be the only one told of. A panic in it is recovered and logged.
	OnNewLeader func(leader Info)
}

// RunCallbacks takes part until ctx ends, as Run does, and calls the callbacks. Unlike client-go's it goes on after a term
// was lost: this process is a candidate again. It returns nil when ctx ends, and all callbacks have returned by then.
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
			e.tell(onNewLeader, info)
		}
	}
}

func (e *Election) tell(onNewLeader func(Info), info Info) {
	defer func() {
		if v := recover(); v != nil {
			e.locker.c.log.Error("OnNewLeader panicked", slog.Any("panic", v))
		}
	}()
	onNewLeader(info)
}
