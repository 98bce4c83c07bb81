package main

import (
	"context"
)

// fanTrigger is the library where the writers know nothing of it: a trigger on
// the table writes the log, and the sweep finds what was written.
type fanTrigger struct{ fanBus }

func (f *fanTrigger) name() string  { return "trigger" }
func (f *fanTrigger) title() string { return "ours, by trigger" }

func (f *fanTrigger) prepare(ctx context.Context) error {
	return (&byTrigger{pool: f.pool}).prepare(ctx)
}

func (f *fanTrigger) publish(ctx context.Context, event int) error {
	return (&byTrigger{pool: f.pool}).transact(ctx, int64(event))
}
