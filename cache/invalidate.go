package cache

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
)

// Event is the event that says that keys, and all with one of the tags, are no longer valid: for a bus' transactions
// and Stage, and for SQL.
func (c *Cache[K, V]) Event(keys []K, tags ...string) (bus.Event, error) {
	e := bus.Event{Topic: c.topic}
	if len(keys)+len(tags) == 0 {
		return e, nil
	}
	e.Keys = make([]string, 0, len(keys)+len(tags))
	for _, key := range keys {
		name, err := c.names.name(key)
		if err != nil {
			return bus.Event{}, err
		}
		e.Keys = append(e.Keys, name)
	}
	for _, tag := range tags {
		name := TagKey(tag)
		if err := validateText("tag", name); err != nil {
			return bus.Event{}, err
		}
		e.Keys = append(e.Keys, name)
	}
	return e, nil
}

// Invalidate says, in a transaction of its own, that keys are no longer valid, on every pod. When it returns nil, this
// pod has dropped them. A writer that has a transaction uses InvalidateTx: then the event is committed if the change is. No
// keys: nothing.
func (c *Cache[K, V]) Invalidate(ctx context.Context, keys ...K) (bus.Receipt, error) {
	return c.publish(ctx)(c.Event(keys))
}

// InvalidateTags is Invalidate for all values with one of the tags.
func (c *Cache[K, V]) InvalidateTags(ctx context.Context, tags ...string) (bus.Receipt, error) {
	return c.publish(ctx)(c.Event(nil, tags...))
}

// InvalidateAll is Invalidate for all keys.
func (c *Cache[K, V]) InvalidateAll(ctx context.Context) (bus.Receipt, error) {
	return c.publish(ctx)(bus.Event{Topic: c.topic, All: true}, nil)
}

func (c *Cache[K, V]) publish(ctx context.Context) func(bus.Event, error) (bus.Receipt, error) {
	return func(e bus.Event, err error) (bus.Receipt, error) {
		switch {
		case err != nil:
			return bus.Receipt{}, err
		case !e.All && len(e.Keys) == 0:
			return bus.Receipt{}, nil
		}
		return c.bus.Publish(ctx, e)
	}
}

// InvalidateTx notes in a transaction, or a savepoint, that keys are no longer valid once it has committed. It costs no
// round trip. The transaction must be one that the bus has begun, else ErrForeignTx.
func (c *Cache[K, V]) InvalidateTx(tx pgx.Tx, keys ...K) error { return c.publishTx(tx)(c.Event(keys)) }

// InvalidateTagsTx is InvalidateTx for all values with one of the tags.
func (c *Cache[K, V]) InvalidateTagsTx(tx pgx.Tx, tags ...string) error {
	return c.publishTx(tx)(c.Event(nil, tags...))
}

// InvalidateAllTx is InvalidateTx for all keys.
func (c *Cache[K, V]) InvalidateAllTx(tx pgx.Tx) error {
	return c.publishTx(tx)(bus.Event{Topic: c.topic, All: true}, nil)
}

func (c *Cache[K, V]) publishTx(tx pgx.Tx) func(bus.Event, error) error {
	return func(e bus.Event, err error) error {
		if err != nil {
			return err
		}
		t, ok := bus.TxFrom(tx)
		switch {
		case !ok:
			return fmt.Errorf("%w: it is a %T", ErrForeignTx, tx)
		case e.All:
			t.InvalidateAll(e.Topic)
		default:
			t.Invalidate(e.Topic, e.Keys...)
		}
		return nil
	}
}

// Stage writes the invalidation of keys to the log in somebody else's pgx transaction; call Committed on the answer after
// its commit. For tags use Event and the bus' own Stage.
func (c *Cache[K, V]) Stage(ctx context.Context, db bus.PgxExecer, keys ...K) (*bus.Staged, error) {
	stager, ok := c.bus.(interface {
		Stage(ctx context.Context, db bus.PgxExecer, events ...bus.Event) (*bus.Staged, error)
	})
	if !ok {
		return nil, fmt.Errorf("%w: Stage", ErrUnsupported)
	}
	e, err := c.Event(keys)
	if err != nil {
		return nil, err
	}
	return stager.Stage(ctx, db, e)
}

// StageSQL is Stage for database/sql.
func (c *Cache[K, V]) StageSQL(ctx context.Context, db bus.SQLExecer, keys ...K) (*bus.Staged, error) {
	stager, ok := c.bus.(interface {
		StageSQL(ctx context.Context, db bus.SQLExecer, events ...bus.Event) (*bus.Staged, error)
	})
	if !ok {
		return nil, fmt.Errorf("%w: StageSQL", ErrUnsupported)
	}
	e, err := c.Event(keys)
	if err != nil {
		return nil, err
	}
	return stager.StageSQL(ctx, db, e)
}
