package cache

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pgcoherence/pgcoherence/bus"
	"github.com/pgcoherence/pgcoherence/internal/fill/history"
	"github.com/pgcoherence/pgcoherence/internal/hook"
)

// Event returns the event that invalidates keys, and all values with one of the tags, for transactions of the bus,
// for Stage and for SQL.
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

// Invalidate publishes, in a transaction of its own, that keys are no longer valid, on every pod. When it returns
// nil, this pod has dropped them. A writer that has a transaction should use InvalidateTx, so that the event commits
// if and only if the change does. Without keys it is a no-op.
func (c *Cache[K, V]) Invalidate(ctx context.Context, keys ...K) (bus.Receipt, error) {
	return c.publish(ctx)(c.Event(keys))
}

// InvalidateTags is Invalidate for all values with one of the tags.
func (c *Cache[K, V]) InvalidateTags(ctx context.Context, tags ...string) (bus.Receipt, error) {
	return c.publish(ctx)(c.Event(nil, tags...))
}

// InvalidateAll is Invalidate for all keys.
func (c *Cache[K, V]) InvalidateAll(ctx context.Context) (bus.Receipt, error) {
	return c.publish(ctx)(c.everything(), nil)
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

// InvalidateTx marks keys as no longer valid once a transaction, or savepoint, has committed. It costs no round trip.
// The bus must have begun the transaction; otherwise it returns ErrForeignTx. After any other error the transaction's
// Commit rolls back and returns the error, too, so that no change commits without its invalidation.
func (c *Cache[K, V]) InvalidateTx(tx pgx.Tx, keys ...K) error { return c.note(tx)(c.Event(keys)) }

// InvalidateTagsTx is InvalidateTx for all values with one of the tags.
func (c *Cache[K, V]) InvalidateTagsTx(tx pgx.Tx, tags ...string) error {
	return c.note(tx)(c.Event(nil, tags...))
}

// InvalidateAllTx is InvalidateTx for all keys.
func (c *Cache[K, V]) InvalidateAllTx(tx pgx.Tx) error { return c.note(tx)(c.everything(), nil) }

// InvalidateSQL is InvalidateTx for a database/sql transaction, within a function that the bus's InSQL runs.
func (c *Cache[K, V]) InvalidateSQL(staging *bus.Staging, keys ...K) error {
	return c.note(staging)(c.Event(keys))
}

// InvalidateTagsSQL is InvalidateSQL for all values with one of the tags.
func (c *Cache[K, V]) InvalidateTagsSQL(staging *bus.Staging, tags ...string) error {
	return c.note(staging)(c.Event(nil, tags...))
}

// InvalidateAllSQL is InvalidateSQL for all keys.
func (c *Cache[K, V]) InvalidateAllSQL(staging *bus.Staging) error {
	return c.note(staging)(c.everything(), nil)
}

func (c *Cache[K, V]) everything() bus.Event { return bus.Event{Topic: c.topic, All: true} }

// note returns a function that notes an event in a transaction.
func (c *Cache[K, V]) note(tx any) func(bus.Event, error) error {
	return func(e bus.Event, err error) error {
		t, ok := tx.(hook.Invalidator)
		ok = ok && !reflect.ValueOf(t).IsNil()
		switch {
		case err != nil && ok:
			t.Refuse(hook.Token{}, err)
			return err
		case err != nil:
			return err
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

// Forget drops keys from this pod's cache and requests a sweep. It writes nothing, and is for tables that triggers
// watch. A writer that calls it after its commit reads its own writes from then on. The sweep finds the trigger's
// event, with which the other pods drop the keys a few milliseconds later. For a key without a valid text it returns
// ErrKey, and drops the other keys all the same.
func (c *Cache[K, V]) Forget(keys ...K) error {
	var errs []error
	e := history.Event{At: time.Now()}
	for _, key := range keys {
		name, err := c.names.name(key)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		c.history.Note(name, e)
		c.stats.invalidated(fromLocal, scopeKey, c.drop(key))
	}

	if s, ok := c.source.(hook.Sweeper); ok && len(keys) > len(errs) {
		s.Sweep()
	}
	return errors.Join(errs...)
}

// Stage writes the invalidation of keys to the log in a pgx transaction that other code commits. Call Committed on
// the result after the commit.
func (c *Cache[K, V]) Stage(ctx context.Context, db bus.PgxExecer, keys ...K) (*bus.Staged, error) {
	return c.stage(ctx, db)(c.Event(keys))
}

// StageTags is Stage for all values with one of the tags.
func (c *Cache[K, V]) StageTags(ctx context.Context, db bus.PgxExecer, tags ...string) (*bus.Staged, error) {
	return c.stage(ctx, db)(c.Event(nil, tags...))
}

// StageAll is Stage for all keys.
func (c *Cache[K, V]) StageAll(ctx context.Context, db bus.PgxExecer) (*bus.Staged, error) {
	return c.stage(ctx, db)(c.everything(), nil)
}

// StageSQL is Stage for database/sql.
func (c *Cache[K, V]) StageSQL(ctx context.Context, db bus.SQLExecer, keys ...K) (*bus.Staged, error) {
	return c.stageSQL(ctx, db)(c.Event(keys))
}

// StageTagsSQL is StageTags for database/sql.
func (c *Cache[K, V]) StageTagsSQL(ctx context.Context, db bus.SQLExecer, tags ...string) (*bus.Staged, error) {
	return c.stageSQL(ctx, db)(c.Event(nil, tags...))
}

// StageAllSQL is StageAll for database/sql.
func (c *Cache[K, V]) StageAllSQL(ctx context.Context, db bus.SQLExecer) (*bus.Staged, error) {
	return c.stageSQL(ctx, db)(c.everything(), nil)
}

func (c *Cache[K, V]) stage(ctx context.Context, db bus.PgxExecer) func(bus.Event, error) (*bus.Staged, error) {
	return func(e bus.Event, err error) (*bus.Staged, error) {
		stager, ok := c.bus.(interface {
			Stage(ctx context.Context, db bus.PgxExecer, events ...bus.Event) (*bus.Staged, error)
		})
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, fmt.Errorf("%w: Stage", ErrUnsupported)
		}
		return stager.Stage(ctx, db, e)
	}
}

func (c *Cache[K, V]) stageSQL(ctx context.Context, db bus.SQLExecer) func(bus.Event, error) (*bus.Staged, error) {
	return func(e bus.Event, err error) (*bus.Staged, error) {
		stager, ok := c.bus.(interface {
			StageSQL(ctx context.Context, db bus.SQLExecer, events ...bus.Event) (*bus.Staged, error)
		})
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, fmt.Errorf("%w: StageSQL", ErrUnsupported)
		}
		return stager.StageSQL(ctx, db, e)
	}
}
